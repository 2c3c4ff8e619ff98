/** What the extension asks of the person's own server, which asks the portal. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

export interface Author {
  name: string;
  orcid?: string;
}

export interface Parameter {
  name: string;
  about?: string;
}

/** What an author says of a notebook: the fields of the platform's sidecar. */
export interface Fields {
  name?: string;
  title?: string;
  abstract?: string;
  authors?: (Author | string)[] | string;
  licence?: string;
  tags?: string[] | string;
  citation?: string;
  image?: string;
  tier?: string;
  datasets?: string[] | string;
  parameters?: (Parameter | string)[];
}

/** What is known of a notebook before it is shared. */
export interface Known {
  fields: Fields;
  licences: string[];
  source: Source | null;
}

/** Of which version of which entry a notebook is a copy. */
export interface Source {
  entry: string;
  version: number;
  digest: string;
}

/** A draft in the catalogue. */
export interface Draft {
  name: string;
  number: number;
  missing: Record<string, string>;
  address: string;
}

/** What the platform tells the person. */
export interface Notices {
  notices: { id: number; subject: string; text: string; urgent: boolean }[];
  address: string;
}

/** The platform said no, in words for the person. */
export class Refused extends Error {}

export async function knownOf(path: string): Promise<Known> {
  return ask<Known>('community/draft', { path });
}

export async function sendDraft(path: string, fields: Fields): Promise<Draft> {
  return ask<Draft>('community/draft', {}, { path, fields });
}

export async function newerThan(source: Source): Promise<{ version: number; address: string } | null> {
  const query = { entry: source.entry, version: String(source.version), digest: String(source.digest) };
  const answer = await ask<{ newer: { version: number; address: string } | null }>('community/newer', query);
  return answer.newer;
}

export async function noticesOf(): Promise<Notices> {
  return ask<Notices>('notices', {});
}

async function ask<T>(what: string, query: Record<string, string>, body?: object): Promise<T> {
  const settings = ServerConnection.makeSettings();
  const url = URLExt.join(settings.baseUrl, 'romanhub', what) + URLExt.objectToQueryString(query);
  // Lab's own way of asking sends the server's protection against forged requests along.
  const init = body ? { method: 'POST', body: JSON.stringify(body) } : {};
  const response = await ServerConnection.makeRequest(url, init, settings);
  const text = await response.text();
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    said = null;
  }
  if (!response.ok) {
    const message = (said as { message?: string } | null)?.message;
    throw new Refused(message || `Your server could not do this (HTTP status ${response.status}).`);
  }
  return said as T;
}
