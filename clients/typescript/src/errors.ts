// Turns whatever a call threw into a Failure that a UI can show. Never throws itself.

import { ConvexError } from "convex/values";
import type { Failure } from "./documents";

const RETRYABLE = new Set(["overloaded", "internal", "thread_busy", "storage_full", "provider_error", "provider_cut", "interrupted"]);

export function readFailure(error: unknown): Failure {
  if (error instanceof ConvexError) {
    const data: unknown = error.data;
    if (typeof data === "object" && data !== null) {
      const code = field(data, "code") ?? "internal";
      return { code, message: field(data, "message") ?? "The server refused this.", retryable: RETRYABLE.has(code) };
    }
    return { code: "internal", message: String(data), retryable: true };
  }
  if (error instanceof FailureError) return error.failure;
  return { code: "internal", message: error instanceof Error ? error.message : String(error), retryable: true };
}

/** A failure that did not come over the sync connection, in a form that can be thrown. */
export class FailureError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
    this.name = "FailureError";
  }
}

/** What an HTTP answer that is no success says of itself; `otherwise` if it says nothing. */
export function refusalOf(status: number, body: unknown, otherwise: string): Failure {
  const fields = typeof body === "object" && body !== null ? body : {};
  const code = field(fields, "code") ?? (status === 403 ? "forbidden" : "internal");
  return { code, message: field(fields, "message") ?? otherwise, retryable: status >= 500 || status === 429 };
}

/** Whether the error says that the thing asked for is missing or not the caller's. */
export function saysMissing(error: unknown): boolean {
  const { code } = readFailure(error);
  return code === "not_found" || code === "bad_id";
}

function field(data: object, name: string): string | undefined {
  const value: unknown = Reflect.get(data, name);
  return typeof value === "string" ? value : undefined;
}
