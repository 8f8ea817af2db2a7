/* The tables of the rawmm data contract 1.2 for rawmm._speed, generated from schemas/v1: DO NOT EDIT.
 *
 * `python -m codegen` writes this file. */

#define TABLES_DIGEST "7fe9e62badfde80b"
enum { MAX_FIELDS = 26 };
enum { MAX_DEPTH = 64 };
enum { MAX_VALUES = 16384 };
enum { MAX_TEXT = 262144 };
enum { MAX_FREE_VALUES = 10000000 };
enum { S_PackedTokenIds, S_PackedFlags, S_PackedFloats, S_PlaceholderRange, S_RawMMItem, S_MultiModalData, S_TextContentPart, S_ImageUrlSource, S_ImageUrlContentPart, S_ToolCall, S_SystemMessage, S_UserMessage, S_AssistantMessage, S_ToolMessage, S_Tool, S_Usage, S_EncodedArray, S_SamplingMask, S_WeightVersion, S_TopLogprobs, S_ParentLink, S_MessageNode, S_Trace, S_Episode, S_RawMMRef, S_GenerateFeatures, S_ContentPart, S_MMImageItem, S_MMImageRef, S_MMRefs, SHAPES };
enum { R_packed, R_payload, R_locator, R_sidecar, R_free_json, R_finite, R_array_size, R_sampling_mask, R_top_logprobs, R_streams, R_outputs, R_images, R_wire_values, R_graph, R_ref, R_features, R_image_ref, R_image_refs, RULES };
enum { PackedTokenIds_nd, PackedTokenIds_dtype, PackedTokenIds_shape, PackedTokenIds_data };
enum { PackedFlags_nd, PackedFlags_dtype, PackedFlags_shape, PackedFlags_data };
enum { PackedFloats_nd, PackedFloats_dtype, PackedFloats_shape, PackedFloats_data };
enum { PlaceholderRange_offset, PlaceholderRange_length };
enum { RawMMItem_kind, RawMMItem_version, RawMMItem_modality, RawMMItem_family, RawMMItem_layout_fingerprint, RawMMItem_payload, RawMMItem_vllm_modality, RawMMItem_raw_image_id, RawMMItem_raw_image_uri, RawMMItem_ambiguous };
enum { MultiModalData_mm_hashes, MultiModalData_mm_placeholders, MultiModalData_mm_items };
enum { TextContentPart_text };
enum { ImageUrlSource_url, ImageUrlSource_detail };
enum { ImageUrlContentPart_image_url };
enum { ToolCall_id, ToolCall_type, ToolCall_name, ToolCall_namespace, ToolCall_arguments };
enum { SystemMessage_content };
enum { UserMessage_content };
enum { AssistantMessage_content, AssistantMessage_reasoning_content, AssistantMessage_tool_calls, AssistantMessage_provider_state };
enum { ToolMessage_tool_call_id, ToolMessage_content, ToolMessage_name };
enum { Tool_type, Tool_name, Tool_namespace, Tool_description, Tool_parameters, Tool_strict, Tool_extra };
enum { Usage_prompt_tokens, Usage_completion_tokens, Usage_cached_input_tokens, Usage_reasoning_tokens, Usage_cost };
enum { EncodedArray_nd, EncodedArray_dtype, EncodedArray_shape, EncodedArray_data };
enum { SamplingMask_ids, SamplingMask_counts };
enum { WeightVersion_version, WeightVersion_start, WeightVersion_end };
enum { TopLogprobs_ids, TopLogprobs_logprobs, TopLogprobs_counts };
enum { ParentLink_node, ParentLink_type };
enum { MessageNode_parent, MessageNode_message, MessageNode_sampled, MessageNode_timestamp, MessageNode_token_ids, MessageNode_mask, MessageNode_is_content, MessageNode_logprobs, MessageNode_finish_reason, MessageNode_usage, MessageNode_advantages, MessageNode_reference_logprobs, MessageNode_trainer_logprobs, MessageNode_entropies, MessageNode_loss_weights, MessageNode_tools, MessageNode_semantic_parents, MessageNode_multi_modal_data, MessageNode_routed_experts, MessageNode_sampling_mask, MessageNode_kept_tokens, MessageNode_weight_versions, MessageNode_top_logprobs, MessageNode_extra };
enum { Trace_version, Trace_id, Trace_verifiers, Trace_task, Trace_agent, Trace_tools, Trace_nodes, Trace_calls, Trace_mm_token_type_id_map, Trace_request_rewrites, Trace_response_rewrites, Trace_rewards, Trace_metrics, Trace_info, Trace_root_reply, Trace_extra_usage, Trace_is_completed, Trace_ok, Trace_stop_condition, Trace_is_timeout, Trace_errors, Trace_timing, Trace_num_input_tokens, Trace_num_output_tokens, Trace_num_total_tokens, Trace_extra };
enum { Episode_id, Episode_env, Episode_task, Episode_group, Episode_run, Episode_ok, Episode_is_timeout, Episode_errors, Episode_traces, Episode_num_input_tokens, Episode_num_output_tokens, Episode_num_total_tokens, Episode_extra };
enum { RawMMRef_family, RawMMRef_fingerprint, RawMMRef_modality, RawMMRef_mm_hash, RawMMRef_payload, RawMMRef_raw_image_id, RawMMRef_raw_image_uri };
enum { GenerateFeatures_mm_hashes, GenerateFeatures_mm_placeholders, GenerateFeatures_kwargs_data, GenerateFeatures_mm_metadata };
enum { ContentPart_type, ContentPart_url, ContentPart_uuid };
enum { MMImageItem_kind, MMImageItem_version, MMImageItem_modality, MMImageItem_family, MMImageItem_layout_fingerprint, MMImageItem_payload, MMImageItem_vllm_modality, MMImageItem_raw_image_id, MMImageItem_raw_image_uri, MMImageItem_ambiguous };
enum { MMImageRef_item, MMImageRef_hash, MMImageRef_uri, MMImageRef_offset, MMImageRef_length };
enum { MMRefs_images };

#ifdef RAWMM_TABLES
const char *const PROCESSED_KEYS[] = {
    "audio_embeds",
    "audio_features",
    "audio_hidden_states",
    "audio_input_features",
    "codebook_pixel_values",
    "conditional_pixel_values",
    "decoder_inputs_embeds",
    "flattened_patches",
    "high_res_pixel_values",
    "image_embeddings",
    "image_embeds",
    "image_features",
    "image_hidden_states",
    "image_patches",
    "image_pixel_values",
    "images_crop",
    "input_audio_embeds",
    "input_audio_features",
    "input_features",
    "input_features_padded",
    "input_image_embeds",
    "input_values",
    "inputs_embeds",
    "noise_sequence",
    "patch_pixel_values",
    "pixel_values",
    "pixel_values_flat",
    "pixel_values_flat_video",
    "pixel_values_images",
    "pixel_values_local",
    "pixel_values_videos",
    "prompt_depth",
    "prompt_embeds",
    "prompt_masks",
    "prompt_pixel_values",
    "query_pixel_values",
    "video_embeds",
    "video_features",
    "video_hidden_states",
    "video_pixel_values",
    "vision_features",
    "vision_hidden_states",
    "visual_embeds",
    "whisper_input_features",
    NULL
};
static const Type T0 = {.kinds = TRUE};
static const char *const L1[] = {"int32", "int64", NULL};
static const Type T2 = {.kinds = STR, .literals = L1};
static const Type T3 = {.kinds = INT, .low = 0ll, .high = 9007199254740991ll};
static const Type T4 = {.kinds = LIST, .item = &T3, .most = 64};
static const Type T5 = {.kinds = BYTES};
static const Field FIELDS_PackedTokenIds[] = {
    {"nd", "__nd__", &T0, 0},
    {"dtype", "dtype", &T2, 0},
    {"shape", "shape", &T4, 0},
    {"data", "data", &T5, 0},
};
static const unsigned char RULES_PackedTokenIds[] = {R_packed};
static const char *const L6[] = {"bool", "uint8", NULL};
static const Type T7 = {.kinds = STR, .literals = L6};
static const Field FIELDS_PackedFlags[] = {
    {"nd", "__nd__", &T0, 0},
    {"dtype", "dtype", &T7, 0},
    {"shape", "shape", &T4, 0},
    {"data", "data", &T5, 0},
};
static const unsigned char RULES_PackedFlags[] = {R_packed};
static const char *const L8[] = {"float32", "float64", NULL};
static const Type T9 = {.kinds = STR, .literals = L8};
static const Field FIELDS_PackedFloats[] = {
    {"nd", "__nd__", &T0, 0},
    {"dtype", "dtype", &T9, 0},
    {"shape", "shape", &T4, 0},
    {"data", "data", &T5, 0},
};
static const unsigned char RULES_PackedFloats[] = {R_packed};
static const Type T10 = {.kinds = INT, .low = 1ll, .high = 9007199254740991ll};
static const Field FIELDS_PlaceholderRange[] = {
    {"offset", "offset", &T3, 0},
    {"length", "length", &T10, 0},
};
static const char *const L11[] = {"prime_raw_mm_item", NULL};
static const Type T12 = {.kinds = STR, .literals = L11};
static const Type T13 = {.kinds = INT, .low = 1ll, .high = 1ll};
static const unsigned char C14[128] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0};
static const Text X15 = {C14, C14, 1, 255};
static const Type T16 = {.kinds = STR, .text = &X15};
static const unsigned char C17[128] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
static const Text X18 = {C17, C17, 16, 64};
static const Type T19 = {.kinds = STR | UNSET, .text = &X18};
static const Type T20 = {.kinds = ANY};
static const Type T21 = {.kinds = DICT, .item = &T20};
static const Type T22 = {.kinds = STR | UNSET, .text = &X15};
static const unsigned char C23[128] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0};
static const Text X24 = {C23, C14, 1, 255};
static const Type T25 = {.kinds = STR | UNSET, .text = &X24};
static const Type T26 = {.kinds = NEVER | UNSET};
static const char *const L27[] = {"orientation", "transparency", NULL};
static const Type T28 = {.kinds = STR, .literals = L27};
static const Type T29 = {.kinds = LIST | UNSET, .item = &T28};
static const Field FIELDS_RawMMItem[] = {
    {"kind", "kind", &T12, 0},
    {"version", "version", &T13, 0},
    {"modality", "modality", &T16, 0},
    {"family", "family", &T16, 0},
    {"layout_fingerprint", "layout_fingerprint", &T19, 0},
    {"payload", "payload", &T21, DESCRIPTOR},
    {"vllm_modality", "vllm_modality", &T22, 0},
    {"raw_image_id", "raw_image_id", &T25, 0},
    {"raw_image_uri", "raw_image_uri", &T26, 0},
    {"ambiguous", "ambiguous", &T29, 0},
};
static const unsigned char RULES_RawMMItem[] = {R_payload, R_locator};
static const Text X30 = {C17, C17, 16, 128};
static const Type T31 = {.kinds = STR, .text = &X30};
static const Type T32 = {.kinds = LIST, .item = &T31};
static const Type T33 = {.kinds = DICT, .item = &T32, .key = &T16};
static const Type T34 = {.kinds = STRUCT, .structs = 1ull << S_PlaceholderRange};
static const Type T35 = {.kinds = LIST, .item = &T34};
static const Type T36 = {.kinds = DICT, .item = &T35, .key = &T16};
static const Type T37 = {.kinds = STRUCT, .structs = 1ull << S_RawMMItem};
static const Type T38 = {.kinds = LIST, .item = &T37};
static const Type T39 = {.kinds = DICT, .item = &T38, .key = &T16};
static const Field FIELDS_MultiModalData[] = {
    {"mm_hashes", "mm_hashes", &T33, 0},
    {"mm_placeholders", "mm_placeholders", &T36, 0},
    {"mm_items", "mm_items", &T39, 0},
};
static const unsigned char RULES_MultiModalData[] = {R_sidecar};
static const Type T40 = {.kinds = STR};
static const Field FIELDS_TextContentPart[] = {
    {"text", "text", &T40, 0},
};
static const Type T41 = {.kinds = STR | UNSET};
static const Field FIELDS_ImageUrlSource[] = {
    {"url", "url", &T40, 0},
    {"detail", "detail", &T41, 0},
};
static const Type T42 = {.kinds = STRUCT, .structs = 1ull << S_ImageUrlSource};
static const Field FIELDS_ImageUrlContentPart[] = {
    {"image_url", "image_url", &T42, 0},
};
static const char *const L43[] = {"function", "custom", NULL};
static const Type T44 = {.kinds = STR | UNSET, .literals = L43};
static const Type T45 = {.kinds = STR | NONE | UNSET};
static const Field FIELDS_ToolCall[] = {
    {"id", "id", &T40, 0},
    {"type", "type", &T44, 0},
    {"name", "name", &T40, 0},
    {"namespace", "namespace", &T45, 0},
    {"arguments", "arguments", &T40, 0},
};
static const Type T46 = {.kinds = STRUCT, .structs = 1ull << S_TextContentPart | 1ull << S_ImageUrlContentPart};
static const Type T47 = {.kinds = STR | LIST, .item = &T46};
static const Field FIELDS_SystemMessage[] = {
    {"content", "content", &T47, 0},
};
static const Field FIELDS_UserMessage[] = {
    {"content", "content", &T47, 0},
};
static const Type T48 = {.kinds = STRUCT, .structs = 1ull << S_ToolCall};
static const Type T49 = {.kinds = LIST | NONE | UNSET, .item = &T48};
static const Type T50 = {.kinds = LIST | NONE | UNSET, .item = &T21};
static const Field FIELDS_AssistantMessage[] = {
    {"content", "content", &T45, 0},
    {"reasoning_content", "reasoning_content", &T45, 0},
    {"tool_calls", "tool_calls", &T49, 0},
    {"provider_state", "provider_state", &T50, FREE},
};
static const unsigned char RULES_AssistantMessage[] = {R_free_json};
static const Field FIELDS_ToolMessage[] = {
    {"tool_call_id", "tool_call_id", &T40, 0},
    {"content", "content", &T47, 0},
    {"name", "name", &T45, 0},
};
static const Type T51 = {.kinds = DICT | UNSET, .item = &T20};
static const Type T52 = {.kinds = TRUE | FALSE | NONE | UNSET};
static const Type T53 = {.kinds = UNKNOWN};
static const Field FIELDS_Tool[] = {
    {"type", "type", &T41, 0},
    {"name", "name", &T40, 0},
    {"namespace", "namespace", &T45, 0},
    {"description", "description", &T41, 0},
    {"parameters", "parameters", &T51, FREE},
    {"strict", "strict", &T52, 0},
    {"extra", "", &T53, 0},
};
static const unsigned char RULES_Tool[] = {R_free_json};
static const Type T54 = {.kinds = INT | NONE | UNSET, .low = 0ll, .high = 9007199254740991ll};
static const Type T55 = {.kinds = FLOAT | NONE | UNSET};
static const Field FIELDS_Usage[] = {
    {"prompt_tokens", "prompt_tokens", &T3, 0},
    {"completion_tokens", "completion_tokens", &T3, 0},
    {"cached_input_tokens", "cached_input_tokens", &T54, 0},
    {"reasoning_tokens", "reasoning_tokens", &T54, 0},
    {"cost", "cost", &T55, NUMBERS},
};
static const unsigned char RULES_Usage[] = {R_finite};
static const char *const L56[] = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", NULL};
static const Type T57 = {.kinds = STR, .literals = L56};
static const Field FIELDS_EncodedArray[] = {
    {"nd", "__nd__", &T0, 0},
    {"dtype", "dtype", &T57, 0},
    {"shape", "shape", &T4, 0},
    {"data", "data", &T5, 0},
};
static const unsigned char RULES_EncodedArray[] = {R_array_size};
static const Type T58 = {.kinds = STRUCT, .structs = 1ull << S_EncodedArray};
static const Field FIELDS_SamplingMask[] = {
    {"ids", "ids", &T58, 0},
    {"counts", "counts", &T58, 0},
};
static const unsigned char RULES_SamplingMask[] = {R_sampling_mask};
static const Field FIELDS_WeightVersion[] = {
    {"version", "version", &T40, 0},
    {"start", "start", &T3, 0},
    {"end", "end", &T3, 0},
};
static const Field FIELDS_TopLogprobs[] = {
    {"ids", "ids", &T58, 0},
    {"logprobs", "logprobs", &T58, 0},
    {"counts", "counts", &T58, 0},
};
static const unsigned char RULES_TopLogprobs[] = {R_top_logprobs};
static const Type T59 = {.kinds = NEVER};
static const Field FIELDS_ParentLink[] = {
    {"node", "node", &T3, 0},
    {"type", "type", &T59, 0},
};
static const Type T60 = {.kinds = STRUCT, .structs = 1ull << S_SystemMessage | 1ull << S_UserMessage | 1ull << S_AssistantMessage | 1ull << S_ToolMessage};
static const Type T61 = {.kinds = TRUE | FALSE};
static const Type T62 = {.kinds = FLOAT | UNSET};
static const Type T63 = {.kinds = INT, .low = 0ll, .high = 4294967295ll};
static const Type T64 = {.kinds = LIST | STRUCT, .item = &T63, .structs = 1ull << S_PackedTokenIds};
static const Type T65 = {.kinds = LIST | STRUCT, .item = &T61, .structs = 1ull << S_PackedFlags};
static const Type T66 = {.kinds = FLOAT};
static const Type T67 = {.kinds = LIST | STRUCT, .item = &T66, .structs = 1ull << S_PackedFloats};
static const char *const L68[] = {"stop", "length", "tool_calls", NULL};
static const Type T69 = {.kinds = STR | NONE | UNSET, .literals = L68};
static const Type T70 = {.kinds = STRUCT | NONE | UNSET, .structs = 1ull << S_Usage};
static const Type T71 = {.kinds = LIST | STRUCT | NONE | UNSET, .item = &T66, .structs = 1ull << S_PackedFloats};
static const Type T72 = {.kinds = DICT | NONE | UNSET, .item = &T67};
static const Type T73 = {.kinds = STRUCT, .structs = 1ull << S_Tool};
static const Type T74 = {.kinds = LIST | UNSET, .item = &T73};
static const Type T75 = {.kinds = STRUCT, .structs = 1ull << S_ParentLink};
static const Type T76 = {.kinds = LIST | UNSET, .item = &T75};
static const Type T77 = {.kinds = STRUCT | NONE | UNSET, .structs = 1ull << S_MultiModalData};
static const Type T78 = {.kinds = STRUCT | NONE | UNSET, .structs = 1ull << S_EncodedArray};
static const Type T79 = {.kinds = STRUCT | NONE | UNSET, .structs = 1ull << S_SamplingMask | 1ull << S_EncodedArray};
static const Type T80 = {.kinds = STRUCT, .structs = 1ull << S_WeightVersion};
static const Type T81 = {.kinds = LIST | NONE | UNSET, .item = &T80};
static const Type T82 = {.kinds = STRUCT | NONE | UNSET, .structs = 1ull << S_TopLogprobs};
static const Field FIELDS_MessageNode[] = {
    {"parent", "parent", &T54, 0},
    {"message", "message", &T60, 0},
    {"sampled", "sampled", &T61, 0},
    {"timestamp", "timestamp", &T62, NUMBERS},
    {"token_ids", "token_ids", &T64, 0},
    {"mask", "mask", &T65, 0},
    {"is_content", "is_content", &T65, 0},
    {"logprobs", "logprobs", &T67, NUMBERS},
    {"finish_reason", "finish_reason", &T69, 0},
    {"usage", "usage", &T70, 0},
    {"advantages", "advantages", &T71, NUMBERS},
    {"reference_logprobs", "reference_logprobs", &T71, NUMBERS},
    {"trainer_logprobs", "trainer_logprobs", &T71, NUMBERS},
    {"entropies", "entropies", &T71, NUMBERS},
    {"loss_weights", "loss_weights", &T72, NUMBERS},
    {"tools", "tools", &T74, 0},
    {"semantic_parents", "semantic_parents", &T76, 0},
    {"multi_modal_data", "multi_modal_data", &T77, 0},
    {"routed_experts", "routed_experts", &T78, 0},
    {"sampling_mask", "sampling_mask", &T79, 0},
    {"kept_tokens", "kept_tokens", &T79, 0},
    {"weight_versions", "weight_versions", &T81, 0},
    {"top_logprobs", "top_logprobs", &T82, 0},
    {"extra", "", &T53, 0},
};
static const unsigned char RULES_MessageNode[] = {R_finite, R_streams, R_outputs, R_images};
static const Type T83 = {.kinds = ANY | UNSET};
static const Type T84 = {.kinds = STRUCT, .structs = 1ull << S_MessageNode};
static const Type T85 = {.kinds = LIST, .item = &T84};
static const Type T86 = {.kinds = INT, .low = 0ll, .high = 255ll};
static const unsigned char C87[128] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
static const unsigned char C88[128] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
static const Text X89 = {C87, C88, 1, 10};
static const Type T90 = {.kinds = STR, .text = &X89};
static const Type T91 = {.kinds = DICT | UNSET, .item = &T86, .key = &T90};
static const Field FIELDS_Trace[] = {
    {"version", "version", &T83, FREE},
    {"id", "id", &T83, FREE},
    {"verifiers", "verifiers", &T83, FREE},
    {"task", "task", &T83, FREE},
    {"agent", "agent", &T83, FREE},
    {"tools", "tools", &T83, FREE},
    {"nodes", "nodes", &T85, 0},
    {"calls", "calls", &T83, FREE},
    {"mm_token_type_id_map", "mm_token_type_id_map", &T91, 0},
    {"request_rewrites", "request_rewrites", &T83, FREE},
    {"response_rewrites", "response_rewrites", &T83, FREE},
    {"rewards", "rewards", &T83, FREE},
    {"metrics", "metrics", &T83, FREE},
    {"info", "info", &T83, FREE},
    {"root_reply", "root_reply", &T83, FREE},
    {"extra_usage", "extra_usage", &T83, FREE},
    {"is_completed", "is_completed", &T83, FREE},
    {"ok", "ok", &T83, FREE},
    {"stop_condition", "stop_condition", &T83, FREE},
    {"is_timeout", "is_timeout", &T83, FREE},
    {"errors", "errors", &T83, FREE},
    {"timing", "timing", &T83, FREE},
    {"num_input_tokens", "num_input_tokens", &T83, FREE},
    {"num_output_tokens", "num_output_tokens", &T83, FREE},
    {"num_total_tokens", "num_total_tokens", &T83, FREE},
    {"extra", "", &T53, 0},
};
static const unsigned char RULES_Trace[] = {R_wire_values, R_graph};
static const Type T92 = {.kinds = STRUCT, .structs = 1ull << S_Trace};
static const Type T93 = {.kinds = LIST, .item = &T92};
static const Field FIELDS_Episode[] = {
    {"id", "id", &T83, FREE},
    {"env", "env", &T83, FREE},
    {"task", "task", &T83, FREE},
    {"group", "group", &T83, FREE},
    {"run", "run", &T83, FREE},
    {"ok", "ok", &T83, FREE},
    {"is_timeout", "is_timeout", &T83, FREE},
    {"errors", "errors", &T83, FREE},
    {"traces", "traces", &T93, 0},
    {"num_input_tokens", "num_input_tokens", &T83, FREE},
    {"num_output_tokens", "num_output_tokens", &T83, FREE},
    {"num_total_tokens", "num_total_tokens", &T83, FREE},
    {"extra", "", &T53, 0},
};
static const unsigned char RULES_Episode[] = {R_wire_values};
static const Field FIELDS_RawMMRef[] = {
    {"family", "family", &T16, 0},
    {"fingerprint", "fingerprint", &T19, 0},
    {"modality", "modality", &T16, 0},
    {"mm_hash", "mm_hash", &T31, 0},
    {"payload", "payload", &T51, DESCRIPTOR},
    {"raw_image_id", "raw_image_id", &T25, 0},
    {"raw_image_uri", "raw_image_uri", &T26, 0},
};
static const unsigned char RULES_RawMMRef[] = {R_payload, R_locator, R_ref};
static const Type T94 = {.kinds = LIST, .item = &T59};
static const Type T95 = {.kinds = DICT, .item = &T94, .key = &T16};
static const Type T96 = {.kinds = NEVER | NONE};
static const Type T97 = {.kinds = LIST, .item = &T96};
static const Type T98 = {.kinds = DICT | NONE | UNSET, .item = &T97, .key = &T16};
static const Field FIELDS_GenerateFeatures[] = {
    {"mm_hashes", "mm_hashes", &T95, 0},
    {"mm_placeholders", "mm_placeholders", &T36, 0},
    {"kwargs_data", "kwargs_data", &T98, 0},
    {"mm_metadata", "mm_metadata", &T98, 0},
};
static const unsigned char RULES_GenerateFeatures[] = {R_features};
static const char *const L99[] = {"image_url", NULL};
static const Type T100 = {.kinds = STR, .literals = L99};
static const Field FIELDS_ContentPart[] = {
    {"type", "type", &T100, 0},
    {"url", "url", &T40, 0},
    {"uuid", "uuid", &T26, 0},
};
static const Type T101 = {.kinds = INT | UNSET, .low = 1ll, .high = 1ll};
static const Field FIELDS_MMImageItem[] = {
    {"kind", "kind", &T12, 0},
    {"version", "version", &T101, 0},
    {"modality", "modality", &T16, 0},
    {"family", "family", &T16, 0},
    {"layout_fingerprint", "layout_fingerprint", &T19, 0},
    {"payload", "payload", &T21, DESCRIPTOR},
    {"vllm_modality", "vllm_modality", &T22, 0},
    {"raw_image_id", "raw_image_id", &T25, 0},
    {"raw_image_uri", "raw_image_uri", &T26, 0},
    {"ambiguous", "ambiguous", &T29, 0},
};
static const unsigned char RULES_MMImageItem[] = {R_payload, R_locator};
static const Type T102 = {.kinds = STRUCT, .structs = 1ull << S_MMImageItem};
static const Field FIELDS_MMImageRef[] = {
    {"item", "item", &T102, 0},
    {"hash", "hash", &T31, 0},
    {"uri", "uri", &T59, 0},
    {"offset", "offset", &T3, 0},
    {"length", "length", &T10, 0},
};
static const unsigned char RULES_MMImageRef[] = {R_image_ref};
static const Type T103 = {.kinds = STRUCT, .structs = 1ull << S_MMImageRef};
static const Type T104 = {.kinds = LIST, .item = &T103};
static const Field FIELDS_MMRefs[] = {
    {"images", "images", &T104, 0},
};
static const unsigned char RULES_MMRefs[] = {R_image_refs};
const Shape SHAPE[SHAPES] = {
    {"PackedTokenIds", FIELDS_PackedTokenIds, 4, RULES_PackedTokenIds, 1},
    {"PackedFlags", FIELDS_PackedFlags, 4, RULES_PackedFlags, 1},
    {"PackedFloats", FIELDS_PackedFloats, 4, RULES_PackedFloats, 1},
    {"PlaceholderRange", FIELDS_PlaceholderRange, 2, NULL, 0},
    {"RawMMItem", FIELDS_RawMMItem, 10, RULES_RawMMItem, 2},
    {"MultiModalData", FIELDS_MultiModalData, 3, RULES_MultiModalData, 1},
    {"TextContentPart", FIELDS_TextContentPart, 1, NULL, 0},
    {"ImageUrlSource", FIELDS_ImageUrlSource, 2, NULL, 0},
    {"ImageUrlContentPart", FIELDS_ImageUrlContentPart, 1, NULL, 0},
    {"ToolCall", FIELDS_ToolCall, 5, NULL, 0},
    {"SystemMessage", FIELDS_SystemMessage, 1, NULL, 0},
    {"UserMessage", FIELDS_UserMessage, 1, NULL, 0},
    {"AssistantMessage", FIELDS_AssistantMessage, 4, RULES_AssistantMessage, 1},
    {"ToolMessage", FIELDS_ToolMessage, 3, NULL, 0},
    {"Tool", FIELDS_Tool, 7, RULES_Tool, 1},
    {"Usage", FIELDS_Usage, 5, RULES_Usage, 1},
    {"EncodedArray", FIELDS_EncodedArray, 4, RULES_EncodedArray, 1},
    {"SamplingMask", FIELDS_SamplingMask, 2, RULES_SamplingMask, 1},
    {"WeightVersion", FIELDS_WeightVersion, 3, NULL, 0},
    {"TopLogprobs", FIELDS_TopLogprobs, 3, RULES_TopLogprobs, 1},
    {"ParentLink", FIELDS_ParentLink, 2, NULL, 0},
    {"MessageNode", FIELDS_MessageNode, 24, RULES_MessageNode, 4},
    {"Trace", FIELDS_Trace, 26, RULES_Trace, 2},
    {"Episode", FIELDS_Episode, 13, RULES_Episode, 1},
    {"RawMMRef", FIELDS_RawMMRef, 7, RULES_RawMMRef, 3},
    {"GenerateFeatures", FIELDS_GenerateFeatures, 4, RULES_GenerateFeatures, 1},
    {"ContentPart", FIELDS_ContentPart, 3, NULL, 0},
    {"MMImageItem", FIELDS_MMImageItem, 10, RULES_MMImageItem, 2},
    {"MMImageRef", FIELDS_MMImageRef, 5, RULES_MMImageRef, 1},
    {"MMRefs", FIELDS_MMRefs, 1, RULES_MMRefs, 1},
};
#endif
