"""What to do about each error code, for ``rawmm explain`` and the rules of a SARIF report."""

from __future__ import annotations

from typing import Final

REMEDIES: Final[dict[str, str]] = {
    # Bytes and shape.
    "malformed": "Look at the line and column of the message. A file that was cut off must be "
    "written again. json.dumps writes NaN and Infinity, which are not JSON: give it "
    "allow_nan=False.",
    "wrong_type": "Write the type that the message names. `rawmm schema TYPE` prints the schema.",
    "missing_field": "Write the field. If the data is older than the contract, convert it with "
    "`rawmm upgrade`.",
    "unknown_field": "Remove the field or correct its name. Put data of your own into an open "
    "object, such as the node or its info.",
    "unknown_tag": "Give `role` or `type` one of the values in the message.",
    "bad_value": "Use one of the values in the message.",
    "bad_format": "Write the string as the pattern in the message says. Hashes are lowercase "
    "hexadecimal digits.",
    "out_of_range": "Correct the number. Token ids, offsets and lengths are never negative.",
    "bad_length": "Shorten or complete the value. Several values in one field often mean that a "
    "batch dimension was left in.",
    "unsupported_version": "Upgrade rawmm in the program that reads, or write the version that it "
    "knows.",
    "not_in_version": "Write a higher version of the contract, which the reader must know, or "
    "remove the value if the reader can do without it.",
    "bad_schema": "Give a file with one JSON Schema of draft 2020-12 that refers to itself only, "
    "the name of a released version, or git:REV.",
    "historical_form": "Convert the data with `rawmm upgrade IN -o OUT`, or with rawmm.upgrade.",
    "unknown_type": "Say which type the data is: `rawmm check --type Trace`, or pass the type.",
    "duplicate_key": "Find the writer that wrote the key twice. One of the values would be lost.",
    # Payloads.
    "processed_payload": "Take the processor's output out of the record and keep the raw image: a "
    "reference and a descriptor. rawmm.materialize makes pixels from them in the trainer.",
    "array_payload": "Write numbers as lists of JSON numbers, e.g. with tolist(). Pixels do not "
    "belong into a record: keep a reference to the image.",
    "not_json": "Convert the value to a string, number, boolean, null, list or object.",
    "too_deep": "Flatten the value. An object that contains itself cannot be written.",
    "too_large": "Keep the geometry only. Large data belongs into a file.",
    # Rules between fields.
    "count_mismatch": "Give each image one entry in every list: items, hashes and placeholders.",
    "modality_mismatch": "List each item under the modality that it states.",
    "placeholder_order": "Sort the placeholder ranges, and keep them inside of the tokens. If "
    "tokens were cut off, cut the ranges, too: rawmm.trainer has functions for both.",
    "stream_length": "Write one value for each token: mask, logprobs and token ids have equal "
    "lengths.",
    "array_size": "Encode the whole array, with the shape and dtype that it has.",
    "token_mismatch": "Use one chat template and tokenizer in the renderer and the engine.",
    "media_mismatch": "Describe the same messages that were rendered. An image was lost, added or "
    "exchanged between the two steps.",
    "parent_order": "Append nodes after their parents.",
    "orphan_image": "Find the hop that lost the image or its tokens: a chat template that drops "
    "image parts, a truncated prompt, or a text that contains the image token.",
    "sampled_image_token": "Suppress the image token when sampling (logit_bias), or drop the "
    "sample.",
    "locator_conflict": "Keep one locator: raw_image_id or raw_image_uri.",
    "bad_locator": "Offload the image, and refer to it with a file name or a file:// URL.",
    "path_escape": "Refer to a file in the image directory, by its name.",
    "no_locator": "Keep the locator of the item until the image has been read.",
    # The trainer.
    "unsupported_modality": "Remove audio and video before this step.",
    "mixed_layouts": "Use one layout with the same settings, and one image decoding, on both "
    "sides.",
    # Offload.
    "bad_base64": "Encode the bytes with base64.b64encode, and send the text as it is: without "
    "line breaks, with its padding, and not URL-safe.",
    "not_an_image": "Send a complete PNG, JPEG, WebP or GIF. Convert other types before.",
    "image_type_mismatch": "Give the media type of the bytes.",
    "unknown_image_form": "Send the image in one of the forms in docs/image-forms.md.",
    "other_media": "Remove the audio, video or document, or allow other media in the limits.",
    "ambiguous_image": "Store the image upright and opaque: ImageStore(normalize=True).",
    "image_limit": "Send a smaller image or request, or raise the limit in rawmm.Limits.",
    "no_image_dir": "Give the directory (--image-dir, image_dir=), or set "
    "VF_RENDERER_IMAGE_OFFLOAD_DIR, PRIME_RL_RUN_DIR or RUN_ID.",
    "store_failed": "Read the reason in the message: free space, permissions, or the mount.",
    "store_denied": "Give credentials that may read and create objects, in the environment or the "
    "options of open_store.",
    "store_missing": "Correct the name in the URL, or create the bucket or container.",
    "store_throttled": "Write fewer images at the same time, or ask for a higher rate.",
    "store_changed": "Try again. Keep other programs from changing the images of the store.",
    "torn_read": "Try again. If it lasts, look for a proxy between the store and this machine.",
    "fetch_refused": "Allow the host (--fetch HOST, HttpsFetcher), or send the image itself.",
    "fetch_failed": "Open the URL from this machine. Try again, or send the image itself.",
    # Reading back.
    "hash_mismatch": "The file or record was changed after it was written. Restore the file; "
    "`rawmm fsck DIR` finds all such files.",
    "missing_image": "Copy the image into the directory, or give the directory that has it. "
    "`rawmm fsck DIR --refs FILE` lists all missing images.",
    "geometry_mismatch": "Describe the image with the layout and settings of the processor: "
    "layout_of(processor).",
    "describe_failed": "Read the exception's type in the message, and mend the function.",
    "processor_failed": "Call the processor with this image alone. Compare its version and "
    "settings with those of the layout.",
    # Maintenance of the image directory.
    "unreferenced_image": "Give all files of records to --refs. `rawmm gc` deletes images that "
    "nothing refers to.",
    "stale_file": "Remove it with `rawmm fsck --repair`.",
    "foreign_file": "Move the file out of the image directory.",
    "no_references": "Give the records of this directory to --refs. They refer to another one.",
}
"""One or two sentences for each of `rawmm.errors.CODES`."""

SITUATIONS: Final[dict[str, str]] = {
    "not_in_version": "`rawmm convert trace.jsonl -o old.jsonl --to 1.0` reads a node with a field "
    "that came in 1.2.",
    "unknown_type": "A file holds {}, which any type of the contract could be.",
    "duplicate_key": 'A record holds {"role": "user", "role": "system"}.',
    "too_large": "A payload lists the values of a vision encoder instead of a grid.",
    "too_deep": "A payload holds itself, or lists in lists of more than 64 levels.",
    "bad_schema": "`rawmm compat 1.0 9.9` names a version that was never released.",
    "store_denied": "A key may read a bucket, but not write into it.",
    "store_missing": "The URL is s3://rollout/images, and the bucket is called rollouts.",
    "store_throttled": "2,000 workers write into one prefix of a bucket.",
    "store_changed": "A clean-up job deletes an image while a worker stores it again.",
    "torn_read": "A proxy cuts answers that take longer than a minute.",
    "token_mismatch": "The engine answers with 1,204 prompt tokens where the renderer sent 1,180: "
    "its processor resized the image otherwise.",
    "media_mismatch": "A turn has three screenshots, and the renderer's result has two hashes.",
    "no_locator": "A node names the hash of an image that an earlier node carried, and the trainer "
    "is given this node alone.",
    "unsupported_modality": "A sample with audio reaches a trainer of images.",
    "mixed_layouts": "One image was described with max_pixels 1,003,520, another with 12,845,056.",
    "not_an_image": "A data URL holds a PNG that lacks its last 200 bytes.",
    "image_type_mismatch": "A data URL says image/png, its bytes are a JPEG, and the limits refuse "
    "labels that are wrong.",
    "unknown_image_form": 'A part {"kind": "screenshot", "png": "iVBORw0KGgo…"} holds an image.',
    "other_media": "A message has an input_audio part, and the limits refuse other media.",
    "ambiguous_image": "A photo from a telephone is to be turned by its EXIF orientation. Some "
    "programs turn it, others do not.",
    "image_limit": "An image has 40,000 x 40,000 pixels.",
    "no_image_dir": "offload_images_inplace(messages) runs where no run directory is set.",
    "store_failed": "The disk is full.",
    "fetch_refused": "A message names https://169.254.169.254/, an address inside of a network.",
    "fetch_failed": "A signed URL has expired, and the server answers with status 403.",
    "missing_image": "A record was copied to another machine without its images.",
    "geometry_mismatch": "A descriptor says 26 x 36 patches, and the processor makes 60 x 82.",
    "describe_failed": "A function given as describe= raises KeyError.",
    "processor_failed": "An image of 1 x 5,000 pixels is too narrow for the processor.",
    "unreferenced_image": "A rollout was dropped after its images were stored.",
    "stale_file": "A worker was killed while it wrote an image.",
    "foreign_file": "Somebody copied notes.txt into the image directory.",
    "no_references": "`rawmm gc run2/images --refs run1.jsonl` mixes two runs.",
}
"""An example in words for each code that no short test vector shows."""
