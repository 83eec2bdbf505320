/** Names for the types of the API, which are generated from its OpenAPI document. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Job = Schemas["Job"];
/** A job as the stream of all jobs has it. */
export type JobState = Omit<Job, "spec" | "spec_problem">;
export type Deleted = Pick<Job, "id">;
export type JobStatus = Schemas["JobStatus"];
export type Progress = Schemas["Progress"];
export type Metrics = Schemas["Metrics"];
export type JobMetrics = Schemas["JobMetrics"];
export type Curve = Schemas["Curve"];
export type Marker = Schemas["Marker"];
export type Queue = Schemas["Queue"];
export type Worker = Schemas["Worker"];
export type Session = Schemas["Session"];
export type ProjectReport = Schemas["ProjectReport"];
export type ApiKey = Schemas["ApiKey"];
export type CreatedKey = Schemas["CreatedKey"];
export type Webhook = Schemas["Webhook"];
export type Delivery = Schemas["Delivery"];
export type Secret = Schemas["Secret"];
export type Problem = Schemas["Problem"];
export type Artifact = Schemas["StoredArtifact"];
export type Checkpoint = Schemas["CheckpointEntry"];
/** An event as the server sends it: stored, and so with its id and its time. */
export type JobEvent = Schemas["EventPage"]["items"][number] & { id: number; time: string };

export interface Page<T> {
  items: T[];
  next: string | null;
}
