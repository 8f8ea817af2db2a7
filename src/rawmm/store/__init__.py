"""Image stores: the interface, the registry of URL schemes, directories, and their maintenance.

`open_store` opens a store by path or URL. `ImageStore` keeps images in a directory,
`ObjectImageStore` in a bucket. `fsck` checks a
store, and `collect_garbage` deletes the images that no record names.
"""

from __future__ import annotations

from rawmm.store.bundle_images import IMAGES as IMAGES
from rawmm.store.bundle_images import MANIFEST as MANIFEST
from rawmm.store.bundle_images import RECORDS as RECORDS
from rawmm.store.bundle_images import ZIP as ZIP
from rawmm.store.bundle_images import ZIP_DAMAGE as ZIP_DAMAGE
from rawmm.store.bundle_images import BundleImages as BundleImages
from rawmm.store.bundle_images import is_bundle as is_bundle
from rawmm.store.cached import CacheCounters as CacheCounters
from rawmm.store.cached import CachedStore
from rawmm.store.errors import STORE_FAILURES as STORE_FAILURES
from rawmm.store.fetcher import WEB_SCHEMES as WEB_SCHEMES
from rawmm.store.fetcher import Fetcher as Fetcher
from rawmm.store.fetcher import HttpsFetcher
from rawmm.store.fetcher import fetched as fetched
from rawmm.store.files import sync_directory as sync_directory
from rawmm.store.fsck import WRONG as WRONG
from rawmm.store.fsck import Finding, fsck
from rawmm.store.fsck import ImageCheck as ImageCheck
from rawmm.store.fsck import Kind as Kind
from rawmm.store.fsck import Progress as Progress
from rawmm.store.fsck import check_images as check_images
from rawmm.store.fsck import iter_findings as iter_findings
from rawmm.store.gc import GRACE as GRACE
from rawmm.store.gc import GarbageStats, collect_garbage
from rawmm.store.local import ImageStore
from rawmm.store.object_store import OBJECT_SCHEMES as OBJECT_SCHEMES
from rawmm.store.object_store import ObjectImageStore
from rawmm.store.protocol import ImageReader as ImageReader
from rawmm.store.protocol import Store
from rawmm.store.protocol import check_exists as check_exists
from rawmm.store.protocol import check_store_arguments as check_store_arguments
from rawmm.store.protocol import checked_store as checked_store
from rawmm.store.protocol import fetcher_of as fetcher_of
from rawmm.store.protocol import put_image as put_image
from rawmm.store.protocol import read_bytes as read_bytes
from rawmm.store.protocol import url_of_id as url_of_id
from rawmm.store.protocol import urls_of as urls_of
from rawmm.store.record_objects import ObjectReader as ObjectReader
from rawmm.store.record_objects import RecordObject as RecordObject
from rawmm.store.record_objects import fixed_part as fixed_part
from rawmm.store.record_objects import is_object_url as is_object_url
from rawmm.store.record_objects import is_pattern as is_pattern
from rawmm.store.record_objects import list_objects as list_objects
from rawmm.store.record_objects import object_state as object_state
from rawmm.store.record_objects import put_object as put_object
from rawmm.store.record_objects import url_below as url_below
from rawmm.store.references import Mention as Mention
from rawmm.store.references import Mentions as Mentions
from rawmm.store.references import RecordSearch as RecordSearch
from rawmm.store.references import Referenced as Referenced
from rawmm.store.registry import is_of_this_process as is_of_this_process
from rawmm.store.registry import open_store
from rawmm.store.registry import register_scheme as register_scheme
from rawmm.store.registry import served_schemes as served_schemes
from rawmm.store.registry import store_for as store_for
from rawmm.store.run_dir import raw_image_path, run_image_dir
from rawmm.store.run_dir import resolved_dir as resolved_dir
from rawmm.store.stored_image import StoredImage
from rawmm.store.text_hash import digest_to_quote as digest_to_quote
from rawmm.store.writer import BatchWriter as BatchWriter
from rawmm.store.writer import batch_writer as batch_writer

# Public names. Names that are imported as themselves are for other packages of rawmm.
__all__ = [
    "CachedStore",
    "Finding",
    "GarbageStats",
    "HttpsFetcher",
    "ImageStore",
    "ObjectImageStore",
    "Store",
    "StoredImage",
    "collect_garbage",
    "fsck",
    "open_store",
    "raw_image_path",
    "run_image_dir",
]
