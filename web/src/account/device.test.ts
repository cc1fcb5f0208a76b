import { expect, test } from "vitest";
import { deviceOf } from "./device";
import { lastUse } from "./lastUse";

test("a browser is named with its system, a program by its name", () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
  const edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0";
  const safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
  expect([chrome, edge, safari].map(deviceOf)).toEqual(["Chrome on Linux", "Edge on Windows", "Safari on iPhone"]);
  expect([deviceOf("curl/8.5.0"), deviceOf(""), deviceOf(undefined)]).toEqual(["curl", "Unknown device", "Unknown device"]);
});

test("the last use is told as far as it is known", () => {
  const now = 1_700_000_000_000;
  const ago = (minutes: number) => lastUse(now - minutes * 60_000, now);
  expect([ago(0), ago(1), ago(59), ago(60), ago(60 * 24), ago(60 * 24 * 3)]).toEqual([
    "just now",
    "just now",
    "59 minutes ago",
    "1 hour ago",
    "yesterday",
    "3 days ago",
  ]);
});
