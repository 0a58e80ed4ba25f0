// Talks to the REST API. Every request ends in time; every error carries the fields that it is about.

import { proof } from './proof';

export interface FieldError {
  field: string;
  message: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: FieldError[] = [],
  ) {
    super(message);
  }
}

const PATIENCE_MS = 30_000;

interface Options {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  patienceMs?: number;
  /** Being refused is an answer here, and signs nobody out. */
  asking?: boolean;
}

async function send(path: string, options: Options): Promise<Response> {
  const late = AbortSignal.timeout(options.patienceMs ?? PATIENCE_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
  const headers: Record<string, string> = { accept: 'application/json', ...proof.headers(options.method), ...options.headers };
  if (options.body !== undefined) headers['content-type'] = 'application/json';
  const body = options.body === undefined ? undefined : JSON.stringify(options.body);
  try {
    return await fetch(path, { method: options.method ?? 'GET', headers, body, signal, credentials: 'same-origin' });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const message = late.aborted ? 'The server did not answer in time' : 'The server cannot be reached';
    throw new ApiError(0, 'UNREACHABLE', message);
  }
}

async function refusal(response: Response, options: Options): Promise<ApiError> {
  if (response.status === 401 && !options.asking) proof.onRefused();
  const fallback = `The server answered ${response.status}`;
  try {
    const { error } = await response.json();
    return new ApiError(response.status, error.code ?? '', error.message ?? fallback, error.details ?? []);
  } catch {
    return new ApiError(response.status, '', fallback);
  }
}

export async function request<T>(path: string, options: Options = {}): Promise<T> {
  const response = await send(path, options);
  if (!response.ok) throw await refusal(response, options);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export async function text(path: string, options: Options = {}): Promise<string> {
  const response = await send(path, { ...options, headers: { accept: 'text/plain' } });
  if (!response.ok) throw await refusal(response, options);
  return response.text();
}

/** What to tell people about anything that was thrown. */
export function wording(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
