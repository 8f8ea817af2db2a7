"""The message graph of a rollout. Each message is stored once; a branch is a path.

A turn is matched against the graph, sent to the model, and committed::

    turn = prepare_turn(trace, prompt)
    previous = turn.previous_token_ids(), turn.previous_multi_modal_data()
    ...                       # render the new tail, call the engine
    node = turn.commit(response)

Each node holds only what its message adds: its tokens and the sidecar of its media. The
concatenated tokens of a root-to-leaf path are one training sample, and its merged sidecars are the
sidecar that the renderer returned for it. Nothing here does I/O.
"""

from __future__ import annotations

from rawmm.graph.branches import Branch, branches, leaves
from rawmm.graph.hashing import message_hash
from rawmm.graph.index import ReplayView as ReplayView
from rawmm.graph.index import reindex
from rawmm.graph.response import Response as Response
from rawmm.graph.response import TurnTokens as TurnTokens
from rawmm.graph.turn import PendingTurn, prepare_turn

__all__ = [
    "Branch",
    "PendingTurn",
    "branches",
    "leaves",
    "message_hash",
    "prepare_turn",
    "reindex",
]

# For other packages of rawmm, not public.
from rawmm.graph.arrays import encoded as encoded
from rawmm.graph.reading import read as read
from rawmm.graph.sidecar import media_count as media_count
from rawmm.graph.sidecar import merge as merge
from rawmm.graph.sidecar import split_by_message as split_by_message
from rawmm.graph.streams import as_list as as_list
from rawmm.graph.streams import check_finite as check_finite
from rawmm.graph.streams import not_a_stream as not_a_stream
from rawmm.graph.streams import stream_of as stream_of
