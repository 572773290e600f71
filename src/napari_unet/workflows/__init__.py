"""The verbs. This is the one lazy door of the house: the only room whose functions import.

Every long job exists twice: ``<verb>_steps`` is a generator of :class:`~napari_unet.core.steps.Progress`, which a
widget or a progress bar drives, and ``<verb>`` drives it to the end.
"""

from ..core.conflict import check_conflict
from .change import change, change_steps
from .checks import audit, audit_steps, preflight, preflight_steps
from .clusters import finalize_steps, look_at_cluster_steps, on_cluster_steps, open_cluster, segment_part_steps
from .collecting import Collection, collect, collect_steps, list_collections
from .corrections import (
    correct,
    draw_lineages,
    list_doubts,
    place_corrections,
    summarize_frames,
    summarize_tracks,
    write_picture,
)
from .driving import drive_run, follow_run_steps, list_runs, start_run
from .files import (
    SAMPLES,
    check_place,
    choose_series,
    find_manifest,
    is_unfinished,
    list_series,
    match_labels,
    read_contents,
    read_image,
    read_labels,
    read_region,
    read_table,
    regrid,
    sample,
    sample_movie,
    write_image,
    write_labels,
    write_overlay,
    write_table,
)
from .inspection import inspect, inspect_image_steps, inspect_steps, match_channels
from .large import (
    choose_place,
    drop_draft,
    edit_labels_steps,
    find_draft,
    find_unfinished,
    forget_edits,
    has_draft,
    keep_draft,
    keep_runs_in,
    open_pyramid,
    shown,
    undo_edit,
)
from .lesions import (
    compare_lesions,
    compare_lesions_steps,
    measure_lesions,
    measure_lesions_steps,
    report_lesions,
    report_lesions_steps,
)
from .many import batch, batch_steps
from .measuring import around_steps, evaluate, evaluate_steps, grow, measure, measure_steps
from .models import (
    FORMATS,
    ModelPlace,
    add_model,
    add_model_steps,
    export_model,
    export_model_steps,
    info,
    list_damaged,
    list_models,
    load_model,
    load_task,
    locate_model,
    remove_model,
)
from .objects import segment, segment_steps
from .planning import plan, plan_steps, preview_patches, preview_patches_steps
from .polygons import write_polygons, write_polygons_steps
from .tracks import (
    check_tracks_place,
    follow_ids_steps,
    has_tracks,
    read_annotations,
    read_tracks,
    relabel,
    relabel_steps,
    score_annotations_steps,
    score_tracks,
    score_tracks_steps,
    track,
    track_steps,
    write_tracks,
)
from .training import (
    check_model_place,
    finish_training,
    hold_training,
    is_training,
    named_training,
    new_wishes,
    said_by_training,
    train,
    train_apart_steps,
    train_steps,
    training_curve,
    training_folder,
    unfinished_training,
)
from .viewing import show

__all__ = [
    "FORMATS", "SAMPLES", "Collection", "ModelPlace", "add_model", "add_model_steps", "around_steps", "audit",
    "audit_steps", "batch", "batch_steps", "change", "change_steps", "check_conflict", "check_model_place",
    "check_place", "check_tracks_place", "choose_place", "choose_series", "collect", "collect_steps",
    "compare_lesions", "compare_lesions_steps", "correct", "draw_lineages", "drive_run", "drop_draft",
    "edit_labels_steps", "evaluate", "evaluate_steps", "export_model", "export_model_steps", "finalize_steps",
    "find_draft", "find_manifest", "find_unfinished", "finish_training", "follow_ids_steps", "follow_run_steps",
    "forget_edits", "grow", "has_draft", "has_tracks", "hold_training", "info", "inspect", "inspect_image_steps",
    "inspect_steps", "is_training", "is_unfinished", "keep_draft", "keep_runs_in", "list_collections", "list_damaged",
    "list_doubts", "list_models", "list_runs", "list_series", "load_model", "load_task", "locate_model",
    "look_at_cluster_steps", "match_channels", "match_labels", "measure", "measure_lesions", "measure_lesions_steps",
    "measure_steps", "named_training", "new_wishes", "on_cluster_steps", "open_cluster", "open_pyramid",
    "place_corrections", "plan", "plan_steps", "preflight", "preflight_steps", "preview_patches",
    "preview_patches_steps", "read_annotations", "read_contents", "read_image", "read_labels", "read_region",
    "read_table", "read_tracks", "regrid", "relabel", "relabel_steps", "remove_model", "report_lesions",
    "report_lesions_steps", "said_by_training", "sample", "sample_movie", "score_annotations_steps", "score_tracks",
    "score_tracks_steps", "segment", "segment_part_steps", "segment_steps", "show", "shown", "start_run",
    "summarize_frames", "summarize_tracks", "track", "track_steps", "train", "train_apart_steps", "train_steps",
    "training_curve", "training_folder", "undo_edit", "unfinished_training", "write_image", "write_labels",
    "write_overlay", "write_picture", "write_polygons", "write_polygons_steps", "write_table", "write_tracks",
]  # fmt: skip
