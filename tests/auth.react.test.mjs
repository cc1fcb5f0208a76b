// `ConvexProviderWithAuth` of convex/react in a document, with an adapter as people write it for Supabase:
// sign in, renew, change the user, sign out.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { mount } from "./lib/dom.mjs"; // before anything of React
import { Authenticated, ConvexProviderWithAuth, Unauthenticated, useConvexAuth, useMutation, useQuery } from "convex/react";
import { createElement as h, Fragment, useCallback, useMemo, useSyncExternalStore } from "react";
import { http, page, react } from "./lib/clients.mjs";
import { Issuer, pair, seconds } from "./lib/issuer.mjs";
import { Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const suite = { after };
const issuer = await Issuer.start(suite, { algs: ["ES256"], audience: "authenticated" });
const config = issuer.config('refetch_seconds = 1\nclaims = { name = "user_metadata.full_name" }');
const server = await Server.start(suite, { config });

/** What the adapter uses of a Supabase client: a session that changes, and can be refreshed. */
class FakeSupabase {
  session = undefined; // undefined: not known yet; null: signed out
  refreshed = 0;
  listeners = new Set();
  key = issuer.keys[0];

  subscribe = (listener) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  set(session) {
    this.session = session;
    for (const listener of this.listeners) listener();
  }

  issue(sub) {
    const user_metadata = { full_name: sub.toUpperCase() };
    const claims = { sub, role: "authenticated", user_metadata, exp: seconds(12), session_id: `${Math.random()}` };
    return { user: { id: sub }, access_token: issuer.token(claims, this.key) };
  }

  signIn(sub) {
    this.set(this.issue(sub));
  }

  refresh() {
    this.refreshed += 1;
    if (this.session) this.set(this.issue(this.session.user.id));
  }
}

/** The adapter: what docs/authentication.md shows. */
function useAuthFrom(supabase) {
  const session = useSyncExternalStore(supabase.subscribe, () => supabase.session);
  const userId = session?.user.id;
  // A new function for a new user, and only then: it is how the provider notices.
  const fetchAccessToken = useCallback(
    async ({ forceRefreshToken }) => {
      if (forceRefreshToken) supabase.refresh();
      return supabase.session?.access_token ?? null;
    },
    [supabase, userId],
  );
  return useMemo(
    () => ({ isLoading: session === undefined, isAuthenticated: Boolean(session), fetchAccessToken }),
    [session === undefined, Boolean(session), fetchAccessToken],
  );
}

/** A page with that provider; `states` are what its component was shown. */
function open(t, supabase) {
  const client = react(t, server, null);
  const states = [];
  const shown = { states, client, parts: new Set() };
  const View = () => {
    const me = useQuery("users:me", {});
    const auth = useConvexAuth();
    shown.create = useMutation("threads:create");
    states.push({ ...auth, name: me?.name, id: me?._id, me });
    return null;
  };
  const Part = ({ name }) => (shown.parts.add(name), shown.parts.delete(name === "in" ? "out" : "in"), null);
  const useAuth = () => useAuthFrom(supabase);
  const parts = h(Fragment, null, h(View), h(Authenticated, null, h(Part, { name: "in" })), h(Unauthenticated, null, h(Part, { name: "out" })));
  mount(t, h(ConvexProviderWithAuth, { client, useAuth }, parts));
  Object.defineProperty(shown, "now", { get: () => states.at(-1) });
  return shown;
}

describe("ConvexProviderWithAuth", { concurrency: true }, () => {
  test("IA-11: sign in, renew, change the user, sign out", async (t) => {
    const supabase = new FakeSupabase();
    const view = open(t, supabase);
    await until(() => view.now?.isLoading);
    supabase.set(null);
    await until(() => view.parts.has("out") && view.now.me === null, { what: "the signed-out page" });

    supabase.signIn("ada");
    await until(() => view.now.isAuthenticated && view.now.name === "ADA", { what: "ada" });
    assert.ok(view.parts.has("in"));
    await within(view.create({ title: "of ada" }), "a mutation");

    const { refreshed } = supabase;
    const from = view.states.length;
    await until(() => supabase.refreshed >= refreshed + 3, { timeout: 30_000, what: "three renewals" });
    const meanwhile = view.states.slice(from);
    assert.ok(meanwhile.every(({ isAuthenticated, name }) => isAuthenticated && name === "ADA"), "nobody notices a renewal");

    supabase.signIn("bob");
    await until(() => view.now.isAuthenticated && view.now.name === "BOB", { what: "bob" });
    await within(view.create({ title: "of bob" }), "a mutation");
    for (const sub of ["ada", "bob"]) {
      const { page: threads } = await http(server, supabase.issue(sub).access_token).query("threads:page", page());
      assert.deepEqual(threads.map(({ title }) => title), [`of ${sub}`]);
    }

    supabase.set(null);
    await until(() => !view.now.isAuthenticated && view.now.me === null && view.parts.has("out"), { what: "the signed-out page" });
    await assert.rejects(within(view.create({}), "a refusal"), (error) => error.data?.code === "unauthenticated");
    assert.deepEqual(view.client.faults, []);
  });

  test("a session whose tokens are refused is signed out, and a good one signs in again", async (t) => {
    const supabase = new FakeSupabase();
    supabase.key = pair("ES256");
    supabase.signIn("carl");
    const view = open(t, supabase);
    await until(() => view.now && !view.now.isLoading && !view.now.isAuthenticated, { timeout: 30_000, what: "the client to give up" });
    assert.ok(view.states.every(({ isAuthenticated }) => !isAuthenticated));
    supabase.key = issuer.keys[0];
    supabase.signIn("carla");
    await until(() => view.now.isAuthenticated && view.now.name === "CARLA", { timeout: 30_000, what: "carla" });
    assert.deepEqual(view.client.faults, []);
  });

  test("keys that are turned under a live session go unnoticed", async (t) => {
    const issuer = await Issuer.start(t, { algs: ["ES256"], audience: "authenticated" });
    const server = await Server.start(t, { config: issuer.config() });
    const client = react(t, server, null);
    const tokens = async () => issuer.token({ sub: "dora", exp: seconds(12), n: Math.random() });
    const states = [];
    const View = () => (states.push({ ...useConvexAuth(), id: useQuery("users:me", {})?._id }), null);
    const useAuth = () => ({ isLoading: false, isAuthenticated: true, fetchAccessToken: tokens });
    mount(t, h(ConvexProviderWithAuth, { client, useAuth }, h(View)));
    await until(() => states.at(-1)?.isAuthenticated && states.at(-1).id !== undefined, { what: "dora" });
    const { id } = states.at(-1);
    // The interval between two fetches must be over, as it is when an issuer turns its keys by plan.
    await until(() => Date.now() > issuer.born + 1500);
    const from = states.length;
    issuer.rotate("EdDSA");
    const fetches = issuer.fetches;
    await until(() => issuer.fetches > fetches, { timeout: 30_000, what: "the new key to be needed" });
    await within(client.mutation("threads:create", {}), "a mutation after it");
    assert.ok(states.slice(from).every((state) => state.isAuthenticated && state.id === id));
    assert.deepEqual(client.faults, []);
  });
});
