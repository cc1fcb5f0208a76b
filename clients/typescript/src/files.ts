// Files of threads over HTTP: sends them up, and finds addresses that an <img> or a link can open. No React.

import type { ConvexReactClient } from "convex/react";
import { api, type UploadView } from "./api.generated";
import type { Part } from "./documents";
import { FailureError, refusalOf } from "./errors";
import type { Tokens } from "./guest";
import type { GuestSession } from "./session";

export type FilePart = Extract<Part, { type: "file" }>;

/** How long an address is good for, and how much earlier it is replaced. */
const TTL_SECONDS = 24 * 3600;
const MARGIN_MS = 3600_000;

export class Files {
  private addresses = new Map<string, { url: Promise<string>; until: number }>();

  constructor(
    private readonly origin: string,
    private readonly client: ConvexReactClient,
    private readonly session: GuestSession,
    private readonly tokens: Tokens,
  ) {}

  /** The thread that has this name, made if there is none: files need one before the first message. */
  async thread(externalId: string): Promise<string> {
    await this.session.ensure();
    return this.client.mutation(api.threads.create, { externalId });
  }

  /** Stores a file; the same `requestId` again gives the same one. */
  async upload(threadId: string, file: File, requestId: string): Promise<FilePart> {
    await this.session.ensure();
    let response = await this.post(threadId, file, requestId);
    if (response.status === 401) {
      await this.tokens.renew();
      response = await this.post(threadId, file, requestId);
    }
    const body: unknown = await response.json().catch(() => null);
    if (!response.ok) throw new FailureError(refusalOf(response.status, body, "The server did not take this file."));
    const stored = body as UploadView;
    return { type: "file", uploadId: stored._id, mediaType: stored.mediaType, name: stored.fileName, size: stored.size };
  }

  /** Where the bytes can be read for a while without a header. */
  address(uploadId: string): Promise<string> {
    const known = this.addresses.get(uploadId);
    if (known !== undefined && known.until > Date.now()) return known.url;
    const url = this.client
      .mutation(api.uploads.readUrl, { uploadId, ttlSeconds: TTL_SECONDS })
      .then((signed) => this.origin + signed.url);
    this.addresses.set(uploadId, { url, until: Date.now() + TTL_SECONDS * 1000 - MARGIN_MS });
    url.catch(() => this.addresses.delete(uploadId));
    return url;
  }

  private post(threadId: string, file: File, requestId: string): Promise<Response> {
    const query = new URLSearchParams({ threadId, name: file.name, requestId });
    const token = this.tokens.kept?.token;
    return fetch(`${this.origin}/api/uploads?${query}`, {
      method: "POST",
      // Without a type of its own the server goes by the name.
      headers: {
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        ...(file.type === "" ? {} : { "Content-Type": file.type }),
      },
      body: file,
    });
  }
}
