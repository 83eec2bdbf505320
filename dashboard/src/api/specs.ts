/** Requests about specs that are not jobs yet. */

import { get, post } from "./client";
import type { components } from "./schema";
import type { Page } from "./types";
import type { Document, Schemas } from "../model/schema";
import { root } from "../root";

export type Estimated = components["schemas"]["JobEstimate"];
export type Recipe = components["schemas"]["RecipeEntry"];
export type Preset = components["schemas"]["Preset"];

export interface Described {
  schemas: Schemas;
  /** A spec that runs on any server. */
  first: Document;
}

/** The schemas of the API and its first example. */
export async function described(): Promise<Described> {
  const document = await (await fetch(`${root}openapi.json`)).json();
  const body = document.paths["/v1/jobs"].post.requestBody.content["application/json"];
  return { schemas: document.components.schemas, first: body.examples.first.value };
}

export const recipes = () => get<Page<Recipe>>("v1/recipes");

export const estimate = (spec: Document) => post<Estimated>("v1/jobs/estimate", spec);
