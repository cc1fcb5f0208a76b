// Who calls, as Spool says it: a signed token in the `_meta` of each call. The model has no say in it. Must
// never believe anything else: not the arguments, not the text of a conversation.

import { createRemoteJWKSet, jwtVerify } from "jose";

/** Reads the callers of the tools of the server that Spool's configuration calls `name`. */
export function callers(name, spool) {
  if (spool === undefined) throw new Error("SPOOL_URL: set it to where Spool is, as http://127.0.0.1:3210");
  const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", spool));

  /** `{user, role, call}` of a call of `tool`; throws if nobody vouches for it. */
  return async function callerOf(tool, meta = {}) {
    const token = meta["spool/caller"];
    if (typeof token !== "string") throw new Error("This tool is called through Spool only: the call does not say who calls.");
    // A token of another tool is of no use here: it is made for one.
    const { payload } = await jwtVerify(token, keys, { audience: `tool:${name}/${tool}` });
    return { user: payload.sub, role: payload.role, call: payload.call };
  };
}
