// The types of the rawmm data contract 1.2 as JSON, generated from the schemas: DO NOT EDIT.
// Patterns, bounds and rules between fields are in the JSON Schemas and their annotations.

/**
 * A name that is safe in file names and references: at most 255 ASCII letters, digits, '_', '.'
 * and '-'.
 */
export type Name = string;

/**
 * Lowercase hex prefix of a SHA-256, 16 to 64 digits, over the parameters that turn an image's
 * size into a token grid. Sides with different fingerprints lay out images differently.
 */
export type LayoutFingerprint = string;

/**
 * Lowercase hex, 16 to 128 digits: a prefix of the SHA-256 of the raw encoded bytes. Writers use
 * 32 digits; a reader compares every digit given.
 */
export type ImageHash = string;

/**
 * Identifier of a media item in the engine's caches: any text without control characters, at least
 * one character. rawmm uses image hashes; callers may use ids of their own.
 */
export type MediaId = string;

/**
 * A file name inside the run's image directory, never '.' or '..'. It stays valid when the
 * directory moves.
 */
export type RawImageId = string;

/**
 * A complete URL: file:// with an absolute path and no host, data:image/...;base64, or a store's
 * own scheme.
 */
export type RawImageUri = string;

/**
 * A property of an image file that programs treat in different ways: an EXIF orientation other
 * than 1, or an alpha channel or transparent colours.
 */
export type Ambiguity = "orientation" | "transparency";

/** A number of tokens. */
export type TokenCount = number;

/** Id of a token in the model's vocabulary. */
export type TokenId = number;

/** Length of each dimension of an array, outermost first; at most 64, as in numpy. */
export type ArrayShape = number[];

/** The elements of an array in C order, little-endian: bytes in MessagePack, base64 in JSON. */
export type ArrayData = string;

/** Token ids as the bytes of one array. Each element is a TokenId. */
export interface PackedTokenIds {
  /** Marks an encoded array. */
  __nd__: true;
  /**
   * Type of one element, by its numpy name, little-endian. Writers use the first that holds all
   * elements.
   */
  dtype: "int32" | "int64";
  /** One dimension: the number of elements. */
  shape: ArrayShape;
  /** The elements: bytes in MessagePack, base64 in JSON. */
  data: ArrayData;
}

/** Flags as the bytes of one array, one byte each: 0 or 1. */
export interface PackedFlags {
  /** Marks an encoded array. */
  __nd__: true;
  /** Type of one element, by its numpy name; both are read as flags. Writers use bool. */
  dtype: "bool" | "uint8";
  /** One dimension: the number of elements. */
  shape: ArrayShape;
  /** The elements: bytes in MessagePack, base64 in JSON. */
  data: ArrayData;
}

/** Finite numbers as the bytes of one array. */
export interface PackedFloats {
  /** Marks an encoded array. */
  __nd__: true;
  /**
   * Type of one element, by its numpy name, little-endian. Writers use the first that holds all
   * elements exactly.
   */
  dtype: "float32" | "float64";
  /** One dimension: the number of elements. */
  shape: ArrayShape;
  /** The elements: bytes in MessagePack, base64 in JSON. */
  data: ArrayData;
}

/** One id per token, in token order. */
export type TokenIds = TokenId[] | PackedTokenIds;

/** One flag per token, in token order. */
export type TokenFlags = boolean[] | PackedFlags;

/** One finite number per sampled token, in token order. */
export type TokenStream = number[] | PackedFloats;

/** Any JSON value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | {
  [key: string]: JsonValue;
};

/** Any JSON object, kept unchanged. */
export type JsonObject = {
  [key: string]: JsonValue;
};

/**
 * A key that only image, video or audio processors and encoders write: the names that transformers
 * and vLLM give pixels, features and embeddings. Compared without regard to case. A descriptor
 * never has one; an open object has none whose value is numbers.
 */
export type ProcessedKey = "audio_embeds" | "audio_features" | "audio_hidden_states" | "audio_input_features" | "codebook_pixel_values" | "conditional_pixel_values" | "decoder_inputs_embeds" | "flattened_patches" | "high_res_pixel_values" | "image_embeddings" | "image_embeds" | "image_features" | "image_hidden_states" | "image_patches" | "image_pixel_values" | "images_crop" | "input_audio_embeds" | "input_audio_features" | "input_features" | "input_features_padded" | "input_image_embeds" | "input_values" | "inputs_embeds" | "noise_sequence" | "patch_pixel_values" | "pixel_values" | "pixel_values_flat" | "pixel_values_flat_video" | "pixel_values_images" | "pixel_values_local" | "pixel_values_videos" | "prompt_depth" | "prompt_embeds" | "prompt_masks" | "prompt_pixel_values" | "query_pixel_values" | "video_embeds" | "video_features" | "video_hidden_states" | "video_pixel_values" | "vision_features" | "vision_hidden_states" | "visual_embeds" | "whisper_input_features";

/**
 * A JSON value inside a descriptor. At any depth, encoded arrays are refused, and so are the keys
 * that only an image processor or encoder writes.
 */
export type DescriptorValue = null | boolean | number | string | DescriptorValue[] | DescriptorObject;

/**
 * A JSON object inside a descriptor, nested at most 64 deep: the image family's own data, such as
 * the token grid. Shared code never reads its keys. Pixels, embeddings and arrays are refused at
 * any depth.
 */
export type DescriptorObject = {
  [key: string]: DescriptorValue;
};

/** Position of one media item's placeholder tokens in the cumulative token sequence of its branch. */
export interface PlaceholderRange {
  /** Index of the first placeholder token, counted from the first token of the branch. */
  offset: number;
  /** Number of consecutive placeholder tokens, at least one. */
  length: number;
}

/**
 * The descriptor of one raw media item. It is JSON-safe, takes a few hundred bytes and never holds
 * pixels. Without a locator it is descriptor-only: the engine is expected to have the item in its
 * cache.
 */
export interface RawMMItem {
  /** Marks a raw media descriptor. */
  kind: "prime_raw_mm_item";
  /** Version of the descriptor. Readers must refuse versions that they do not know. */
  version: 1;
  /** Kind of media, e.g. 'image'. Equal to the item's key in a sidecar. */
  modality: Name;
  /** The image layout that owns the payload, e.g. 'qwen_vl' or 'kimi_k25'. */
  family: Name;
  /** Fingerprint of the layout's parameters. Optional in data; rawmm always writes it. */
  layout_fingerprint?: LayoutFingerprint;
  /** The family's own data, such as image_grid_thw [t, h, w] in patches. */
  payload: DescriptorObject;
  /** The engine's name for the modality if it differs, e.g. 'vision_chunk' for Kimi. */
  vllm_modality?: Name;
  /** Locator: the file name of the raw image inside the run's image directory. */
  raw_image_id?: RawImageId;
  /** Locator: a complete URL of the raw image. At most one locator is set. */
  raw_image_uri?: RawImageUri;
  /**
   * What programs may decode differently, because the image states an orientation or has
   * transparent colours. Absent if all decode the same pixels, or if the writer did not look.
   */
  ambiguous?: Ambiguity[];
}

/**
 * The sidecar of a message or a prompt: hashes, placeholder ranges and descriptors by modality.
 * For each modality, the lists that are present have equal length and describe the same media in
 * prompt order.
 */
export interface MultiModalData {
  /** Modality to hashes of the raw bytes, in prompt order. */
  mm_hashes?: {
    [key: string]: ImageHash[];
  };
  /** Modality to placeholder ranges, sorted by offset, not overlapping. */
  mm_placeholders?: {
    [key: string]: PlaceholderRange[];
  };
  /** Modality to descriptors, in prompt order. */
  mm_items?: {
    [key: string]: RawMMItem[];
  };
}

/** A text content part. */
export interface TextContentPart {
  /** The tag of the part. */
  type: "text";
  /** The text. */
  text: string;
}

/** Location of a content part's image. */
export interface ImageUrlSource {
  /** Before the offload data:image/...;base64, and after it file:///absolute/path or a store's URL. */
  url: string;
  /** Resolution hint of OpenAI-style clients ('auto', 'low', 'high'), passed through. */
  detail?: string;
}

/** An image content part. */
export interface ImageUrlContentPart {
  /** The tag of the part. */
  type: "image_url";
  /** Location of the image. */
  image_url: ImageUrlSource;
}

/** One part of a message's content, tagged by 'type'. */
export type MessagePart = TextContentPart | ImageUrlContentPart;

/** Plain text, or content parts in prompt order. */
export type MessageContent = string | MessagePart[];

/** A tool call by the model. */
export interface ToolCall {
  /** Id that the tool's reply repeats. */
  id: string;
  /** Kind of tool. Absent means function. */
  type?: "function" | "custom";
  /** Name of the tool. */
  name: string;
  /** Provider namespace that qualifies the name, or null. */
  namespace?: string | null;
  /** The raw arguments, exactly as the model emitted them; often JSON text, never parsed here. */
  arguments: string;
}

/** An instruction of the environment. */
export interface SystemMessage {
  /** The tag of the message. */
  role: "system";
  /** Text of the message. */
  content: MessageContent;
}

/** A message of the user or the environment. */
export interface UserMessage {
  /** The tag of the message. */
  role: "user";
  /** Text and images of the message. */
  content: MessageContent;
}

/** A message of the model. */
export interface AssistantMessage {
  /** The tag of the message. */
  role: "assistant";
  /** The text, or null if there is none. */
  content?: string | null;
  /** The reasoning text, if the model returns it separately. */
  reasoning_content?: string | null;
  /** The tool calls, in order, or null. */
  tool_calls?: ToolCall[] | null;
  /** Opaque items of the provider (signed or encrypted reasoning), replayed unchanged. */
  provider_state?: JsonObject[] | null;
}

/** A tool's reply to a call. */
export interface ToolMessage {
  /** The tag of the message. */
  role: "tool";
  /** Id of the call. */
  tool_call_id: string;
  /** The result of the tool, images included. */
  content: MessageContent;
  /** Name of the tool, for templates that need it, or null. */
  name?: string | null;
}

/** One chat message, tagged by 'role'. */
export type Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

/** A tool that the model may call. Provider-specific declaration fields are kept. */
export interface Tool {
  /** Kind of tool; absent means 'function'. */
  type?: string;
  /** Name of the tool. */
  name: string;
  /** Provider namespace that qualifies the name, or null. */
  namespace?: string | null;
  /** Description of the tool for the model. */
  description?: string;
  /** JSON Schema of its arguments, kept unchanged. */
  parameters?: JsonObject;
  /** Whether the provider enforces the parameters, or null. */
  strict?: boolean | null;
  [key: string]: unknown;
}

/** Token counts of one model call, as reported by the provider. */
export interface Usage {
  /** Prompt tokens, without those read from a cache. */
  prompt_tokens: TokenCount;
  /** Generated tokens, reasoning included. */
  completion_tokens: TokenCount;
  /** Prompt tokens read from a cache, or null if not reported. */
  cached_input_tokens?: TokenCount | null;
  /** Generated tokens that were reasoning, or null if not reported. */
  reasoning_tokens?: TokenCount | null;
  /** Cost in US dollars, or null if not reported. */
  cost?: number | null;
}

/**
 * An array of numbers as raw bytes. Allowed for routing and sampling masks, but never inside a
 * sidecar.
 */
export interface EncodedArray {
  /** Marks an encoded array. */
  __nd__: true;
  /** Type of one element, by its numpy name, little-endian. */
  dtype: "bool" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" | "float16" | "float32" | "float64";
  /** Length of each dimension, outermost first. */
  shape: ArrayShape;
  /** The elements in C order: bytes in MessagePack, base64 in JSON. */
  data: ArrayData;
}

/** The set of token ids that the sampling filters kept for each sampled token, flattened. */
export interface SamplingMask {
  /** The kept token ids of all sampled tokens, one set after another: int32, one dimension. */
  ids: EncodedArray;
  /** The size of each set: int32, one per sampled token. */
  counts: EncodedArray;
}

/** A span of sampled tokens and the version of the weights that sampled them. */
export interface WeightVersion {
  /** The engine's label of the weights. */
  version: string;
  /** Index of the span's first token among the node's sampled tokens. */
  start: TokenCount;
  /** Index after the span's last token. */
  end: TokenCount;
}

/** The sampler's most likely tokens for each sampled token, in rows of any length, flattened. */
export interface TopLogprobs {
  /** The token ids of all rows, one row after another, most likely first: int32, one dimension. */
  ids: EncodedArray;
  /** The log-probability of each of these tokens, in nats: float32, one dimension. */
  logprobs: EncodedArray;
  /** The length of each row: int32, one per sampled token. */
  counts: EncodedArray;
}

/** A causal link to another node that implies no shared tokens. */
export interface ParentLink {
  /** Index of the other node in the trace. */
  node: number;
  /** Meaning of the link, e.g. 'subagent_return'. */
  type: string;
}

/**
 * One message and the tokens it adds. Nodes form a graph by 'parent'; the tokens of a root-to-leaf
 * path, concatenated, are one training sample. Unknown fields are kept and written back unchanged.
 */
export interface MessageNode {
  /**
   * Index of the node of the previous message, which comes before this one; null or absent for a
   * root.
   */
  parent?: number | null;
  /** The message. */
  message: Message;
  /** Whether a model call produced the message; false if it came from a prompt. */
  sampled?: boolean;
  /** Creation time of the node, in seconds since the epoch. */
  timestamp?: number;
  /** The tokens this message adds, template scaffold included. Empty if no renderer ran. */
  token_ids?: TokenIds;
  /** One flag per token: true if the model sampled it, so that it is trained on. */
  mask?: TokenFlags;
  /** One flag per token: true for message text, false for template scaffold; or empty. */
  is_content?: TokenFlags;
  /** Sampling log-probability of each token that is true in mask, in nats; or empty. */
  logprobs?: TokenStream;
  /** Why the model stopped, or null. */
  finish_reason?: "stop" | "length" | "tool_calls" | null;
  /** Token counts of the call, or null. */
  usage?: Usage | null;
  /** Credit per sampled token. Null means not assigned, which is not zero. */
  advantages?: TokenStream | null;
  /** Log-probability under the reference model per sampled token, or null. */
  reference_logprobs?: TokenStream | null;
  /** Log-probability recomputed by the trainer per sampled token, or null. */
  trainer_logprobs?: TokenStream | null;
  /** Policy entropy per sampled token in nats, or null. */
  entropies?: TokenStream | null;
  /** Named loss weights, each one number per token of token_ids, or null. */
  loss_weights?: {
    [key: string]: TokenStream;
  } | null;
  /** Tools rendered into the branch's prompt; on root nodes only. */
  tools?: Tool[];
  /** Causal links from other nodes, which add no tokens and may form cycles. */
  semantic_parents?: ParentLink[];
  /** Sidecar of the media that this node's message introduces, or null. */
  multi_modal_data?: MultiModalData | null;
  /** Experts chosen for each token of this node: [tokens, layers, top_k], or null. */
  routed_experts?: EncodedArray | null;
  /** Token ids that survived the sampling filters, per sampled token, or null. */
  sampling_mask?: TokenSets | null;
  /** The name of sampling_mask before August 2026, or null. */
  kept_tokens?: TokenSets | null;
  /**
   * Versions of the weights that sampled the node's tokens, or null. Spans are sorted and
   * disjoint.
   */
  weight_versions?: WeightVersion[] | null;
  /** The sampler's most likely tokens per sampled token, or null. */
  top_logprobs?: TopLogprobs | null;
  [key: string]: unknown;
}

/**
 * A set of token ids per sampled token: as ids and counts (verifiers 0.4.0), or as one encoded
 * array.
 */
export type TokenSets = SamplingMask | EncodedArray;

/**
 * A rollout record: the message graph and other fields of the writer. Unknown fields are kept and
 * written back unchanged.
 */
export interface Trace {
  /** Version of the writer's record, not of this contract. */
  version?: JsonValue;
  /** Unique id of the rollout. */
  id?: JsonValue;
  /** Version of the package that wrote the record. */
  verifiers?: JsonValue;
  /** The task that was solved. */
  task?: JsonValue;
  /** The agent that solved it. */
  agent?: JsonValue;
  /** Tools seen across requests. */
  tools?: JsonValue;
  /** The message graph. A node's parent comes before it. */
  nodes: MessageNode[];
  /** The model calls that committed nodes. */
  calls?: JsonValue;
  /** Placeholder token id, as text, to the kind of media: 1 image, 2 video. */
  mm_token_type_id_map?: {
    [key: string]: number;
  };
  /** Changes made to requests, in order. */
  request_rewrites?: JsonValue;
  /** Changes made to responses, in order. */
  response_rewrites?: JsonValue;
  /** Named rewards. */
  rewards?: JsonValue;
  /** Named metrics. */
  metrics?: JsonValue;
  /** The task's own notes. */
  info?: JsonValue;
  /** The root agent's reply, if the trace has descendants. */
  root_reply?: JsonValue;
  /** Token counts of calls outside the graph. */
  extra_usage?: JsonValue;
  /** Whether the rollout ended. */
  is_completed?: JsonValue;
  /** Whether it ended without an error. */
  ok?: JsonValue;
  /** What ended it. */
  stop_condition?: JsonValue;
  /** Whether a deadline ended it. */
  is_timeout?: JsonValue;
  /** Errors of all attempts, oldest first. */
  errors?: JsonValue;
  /** Start and end of its stages, in seconds since the epoch. */
  timing?: JsonValue;
  /** Tokens fed in, as the writer counted them. */
  num_input_tokens?: JsonValue;
  /** Tokens generated, as the writer counted them. */
  num_output_tokens?: JsonValue;
  /** Both together. */
  num_total_tokens?: JsonValue;
  [key: string]: unknown;
}

/**
 * The traces of one run of an environment, and the record around them: a line of verifiers'
 * traces.jsonl. Unknown fields are kept and written back unchanged.
 */
export interface Episode {
  /** Unique id of the episode. */
  id?: JsonValue;
  /** The environment that ran it. */
  env?: JsonValue;
  /** The task that was dispatched. */
  task?: JsonValue;
  /** The rollout group that it belongs to. */
  group?: JsonValue;
  /** The run that it belongs to. */
  run?: JsonValue;
  /** Whether it ended without an error. */
  ok?: JsonValue;
  /** Whether a deadline of the environment ended it. */
  is_timeout?: JsonValue;
  /** Errors of all attempts, oldest first. */
  errors?: JsonValue;
  /** The traces of its agents, in order of completion. */
  traces: Trace[];
  /** Tokens fed in, as the writer counted them. */
  num_input_tokens?: JsonValue;
  /** Tokens generated, as the writer counted them. */
  num_output_tokens?: JsonValue;
  /** Both together. */
  num_total_tokens?: JsonValue;
  [key: string]: unknown;
}

/**
 * The content of a reference string 'mmraw:<compact sorted JSON>': the image, its layout and its
 * location.
 */
export interface RawMMRef {
  /** The image layout that owns the payload. */
  family: Name;
  /** Fingerprint of the layout's parameters; absent in references of August 2026. */
  fingerprint?: LayoutFingerprint;
  /** Kind of media, e.g. 'image'. */
  modality: Name;
  /** Hash of the raw bytes. */
  mm_hash: ImageHash;
  /** The family's own data. */
  payload?: DescriptorObject;
  /** Locator: a file name inside the run's image directory. */
  raw_image_id?: RawImageId;
  /** Locator: a complete URL. */
  raw_image_uri?: RawImageUri;
}

/**
 * The 'features' object of an engine request, as vLLM 0.33 reads it: per modality the ids, ranges
 * and data of the media in the prompt. All maps have the same modalities, with lists of the same
 * lengths.
 */
export interface GenerateFeatures {
  /**
   * Modality to the ids of the media in the engine's caches, in prompt order: image hashes, or ids
   * of the caller.
   */
  mm_hashes: {
    [key: string]: MediaId[];
  };
  /**
   * Modality to placeholder ranges in the prompt, sorted by offset. No two overlap, whatever their
   * modalities.
   */
  mm_placeholders: {
    [key: string]: PlaceholderRange[];
  };
  /**
   * Modality to the data of each item: a reference 'mmraw:...', the engine's own encoding in
   * base64, or null, which means 'resolve from the engine's cache'. Null for all, too.
   */
  kwargs_data?: {
    [key: string]: (string | null)[];
  } | null;
  /**
   * Modality to the engine's own encoding of each item's metadata, without its data, in base64; or
   * null.
   */
  mm_metadata?: {
    [key: string]: (string | null)[];
  } | null;
}

/**
 * One image of an engine request's 'content_parts', as vLLM 0.33 reads it: the engine loads the
 * image and expands its placeholder token.
 */
export interface ContentPart {
  /** Kind of the part. */
  type: "image_url";
  /** URL of the image: file://, data: or http(s)://. */
  url: string;
  /** Id of the image in the engine's caches, in place of a hash of its content. */
  uuid?: MediaId;
}

/**
 * The descriptor inside a trainer-bound reference: a RawMMItem whose version may be absent,
 * because the transport of 2026-08 omits it.
 */
export interface MMImageItem {
  /** Marks a raw media descriptor. */
  kind: "prime_raw_mm_item";
  /** Version of the descriptor, if the writer gives one. */
  version?: 1;
  /** Kind of media: 'image' on this transport. */
  modality: Name;
  /** The image layout that owns the payload. */
  family: Name;
  /** Fingerprint of the layout's parameters. */
  layout_fingerprint?: LayoutFingerprint;
  /** The family's own data, such as image_grid_thw. */
  payload: DescriptorObject;
  /** The engine's name for the modality if it differs. */
  vllm_modality?: Name;
  /** Locator: a file name inside the run's image directory. */
  raw_image_id?: RawImageId;
  /** Locator: a complete URL. */
  raw_image_uri?: RawImageUri;
  /**
   * What programs may decode differently, because the image states an orientation or has
   * transparent colours. Absent if all decode the same pixels, or if the writer did not look.
   */
  ambiguous?: Ambiguity[];
}

/** One image of a training sample: its descriptor, hash, URL and placeholder span. */
export type MMImageRef = [item: MMImageItem, hash: ImageHash, uri: RawImageUri, offset: number, length: number];

/** The images of one training sample, in token order. */
export type MMRefs = [images: MMImageRef[]];
