/** Written by generate_types.py from bigkingxxl/viewer/contract: do not edit. */

export const CONTRACT_VERSION = 1;

/** A cell that the model detected, but whose score was too low. */
export interface Candidate {
  readonly index: number;
  readonly score: number;
  readonly type: string;
  readonly box: readonly [number, number, number, number];
  readonly runs: readonly number[];
}

/** The candidates that were not selected as cells, highest score first. */
export interface CandidateList {
  readonly candidates: readonly Candidate[];
}

/** The attributes of a cell. */
export interface Cell {
  readonly origin: "model" | "edited" | "drawn";
  readonly type: string;
  readonly score: number | null;
}

/** The attributes of a cell before and after an edit; None if the cell does not exist. */
export interface CellChange {
  readonly id: number;
  readonly before: Cell | null;
  readonly after: Cell | null;
}

/** The cells of an image, in the order of `ids`; all columns have the same length. */
export interface CellTable {
  readonly revision: number;
  readonly ids: readonly number[];
  readonly cells: readonly Cell[];
  readonly boxes: readonly number[];
  readonly areas: readonly number[];
  readonly measurements: readonly Measurement[];
}

/** One channel of an image. */
export interface Channel {
  readonly index: number;
  readonly name: string;
  readonly low: number;
  readonly high: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly histogram: readonly number[];
}

/** The scores before and after fine-tuning of an image that was not used for training. */
export interface ComparedImage {
  readonly key: string;
  readonly before: number | null;
  readonly after: number | null;
}

/** Another window edited the image, or page and server differ: the page must load it again. */
export interface Conflict {
  readonly error: string;
  readonly revision: number;
  readonly window: string;
}

/** The mark 'done' of an image, before and after the edit. */
export interface DoneChange {
  readonly before: boolean;
  readonly after: boolean;
}

/** A change of one image in one window. */
export interface Edit {
  readonly window: string;
  readonly seq: number;
  readonly revision: number;
  readonly tool: string;
  readonly runs: readonly number[];
  readonly cells: readonly CellChange[];
  readonly reviewed: readonly number[];
  readonly done: DoneChange | null;
}

/** The edit is stored on disk; `revision` is the revision of the image after it. */
export interface EditAccepted {
  readonly revision: number;
  readonly next_cell: number;
}

/** The edits after a revision, oldest first. */
export interface EditList {
  readonly revision: number;
  readonly edits: readonly PastEdit[];
}

/** A notification that something has changed. */
export interface Event {
  readonly number: number;
  readonly kind: "image" | "job" | "folder" | "windows";
  readonly image: ImageEntry | null;
  readonly window: string;
  readonly job: Job | null;
}

/** The events after a number; if `missed`, some are gone: the page loads everything again. */
export interface EventList {
  readonly newest: number;
  readonly missed: boolean;
  readonly events: readonly Event[];
}

/** A format for exporting cells. */
export interface ExportFormat {
  readonly name: string;
  readonly install: string;
}

/** Write the corrected cells in formats of `predict` and `measure`. */
export interface ExportRequest {
  readonly formats: readonly string[];
}

/** An optional part of the program. */
export interface Extra {
  readonly install: string;
}

/** The folder that is open. */
export interface Folder {
  readonly contract: number;
  readonly version: string;
  readonly kind: "run" | "images" | "dataset" | "annotate";
  readonly path: string;
  readonly corrections: string;
  readonly run: string | null;
  readonly read_only: string;
  readonly notices: readonly string[];
  readonly type_names: readonly string[];
  readonly settings: Settings;
  readonly can_apply: string;
  readonly tile_side: number;
  readonly whole_limit: number;
  readonly max_body: number;
  readonly export_formats: readonly ExportFormat[];
  readonly learn: Extra;
  readonly models: readonly ModelInfo[];
}

/** An image in the list. */
export interface ImageEntry {
  readonly key: string;
  readonly name: string;
  readonly file: string;
  readonly group: string;
  readonly frame: number | null;
  readonly state: "waiting" | "ready" | "failed";
  readonly failure: string;
  readonly warnings: readonly string[];
  readonly width: number | null;
  readonly height: number | null;
  readonly cells: number | null;
  readonly confluence: number | null;
  readonly expected_error: number | null;
  readonly revision: number;
  readonly corrected: boolean;
  readonly done: boolean;
  readonly reviewed: number;
  readonly thumbnail: string;
}

/** An image without its pixels and cells. */
export interface ImageInfo {
  readonly entry: ImageEntry;
  readonly channels: readonly Channel[];
  readonly pixel_size_um: readonly [number, number] | null;
  readonly levels: readonly Level[];
  readonly is_rgb: boolean;
  readonly label_dtype: "uint16" | "uint32";
  readonly next_cell: number;
  readonly has_candidates: boolean;
  readonly windows: number;
  readonly label_file: string;
  readonly image_file: string;
}

/** Keys of images in the order for reviewing. */
export interface ImageList {
  readonly keys: readonly string[];
}

/** A background job. */
export interface Job {
  readonly id: string;
  readonly kind: "predict" | "apply" | "learn" | "export";
  readonly state: "waiting" | "running" | "asking" | "done" | "failed" | "cancelled";
  readonly done: number;
  readonly total: number | null;
  readonly message: string;
  readonly seconds_left: number | null;
  readonly error: string;
  readonly files: readonly string[];
  readonly can_cancel: boolean;
  readonly can_resume: boolean;
  readonly result: LearnResult | null;
}

/** All jobs of this session, newest first. */
export interface JobList {
  readonly jobs: readonly Job[];
}

/** Fine-tune the model on the reviewed parts. */
export interface LearnRequest {
  readonly stage: 1 | 2;
  readonly minutes: number;
}

/** The result of fine-tuning; the new model is used only if the user accepts it. */
export interface LearnResult {
  readonly stage: 1 | 2;
  readonly images: number;
  readonly before: number | null;
  readonly after: number | null;
  readonly gain: number | null;
  readonly gain_low: number | null;
  readonly gain_high: number | null;
  readonly is_better: boolean;
  readonly advice: string;
  readonly changed: readonly string[];
  readonly compared: readonly ComparedImage[];
}

/** One level of the pyramid; level 0 is the image itself. */
export interface Level {
  readonly level: number;
  readonly width: number;
  readonly height: number;
  readonly rows: number;
  readonly cols: number;
}

/** A column of measurements with one value per cell; None if it is undefined. */
export interface Measurement {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly (number | null)[];
}

/** A model in the history of this folder. */
export interface ModelInfo {
  readonly id: string;
  readonly name: string;
  readonly made: string;
  readonly images: number;
  readonly before: number | null;
  readonly after: number | null;
  readonly is_current: boolean;
}

/** An edit in the journal; `edit.revision` is the revision before the edit. */
export interface PastEdit {
  readonly time: string;
  readonly edit: Edit;
}

/** The image that a window has open, or None; sent every 20 seconds. */
export interface Presence {
  readonly window: string;
  readonly key: string | null;
}

/** The number of other windows that have the same image open, and its revision. */
export interface PresenceAnswer {
  readonly windows: number;
  readonly revision: number;
}

/** The reason why a request was refused, as one sentence for the user. */
export interface Problem {
  readonly error: string;
  readonly read_only: boolean;
}

/** The thresholds of the sliders; None means the value of the model. */
export interface Settings {
  readonly min_score: number | null;
  readonly min_area: number | null;
}

/** All images in the order of their names; `event` is the newest event that it includes. */
export interface Strip {
  readonly images: readonly ImageEntry[];
  readonly event: number;
}
