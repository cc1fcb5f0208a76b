// Times as people read them.

import { describe, expect, it } from "vitest";
import { duration, periodOf, precise, shortAgo, timeLeft } from "./time";

const NOW = new Date(2026, 10, 21, 12, 0, 0).getTime();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe("times", () => {
  it("say how long ago, shortly", () => {
    expect(shortAgo(NOW - 20_000, NOW)).toBe("now");
    expect(shortAgo(NOW - 5 * MINUTE, NOW)).toBe("5m");
    expect(shortAgo(NOW - 3 * HOUR, NOW)).toBe("3h");
    expect(shortAgo(NOW - 2 * DAY, NOW)).toBe("2d");
    expect(shortAgo(NOW - 30 * DAY, NOW)).toContain("Oct");
  });

  it("say what is left, the more exactly the less it is", () => {
    expect([-5, 20_400, 4 * MINUTE + 20_000, 14 * MINUTE, 3 * HOUR + 5 * MINUTE, 47 * HOUR, 49 * HOUR].map(timeLeft)).toEqual([
      "0 s", "20 s", "4 min 20 s", "14 min", "3 h 5 min", "47 h 0 min", "2 days",
    ]);
  });

  it("do not run backwards when the server's clock is ahead", () => {
    expect(shortAgo(NOW + 9 * MINUTE, NOW)).toBe("now");
    expect(periodOf(NOW + 9 * MINUTE, NOW)).toBe("Today");
  });

  it("belong to the day, not to the last 24 hours", () => {
    expect(periodOf(NOW - 11 * HOUR, NOW)).toBe("Today");
    expect(periodOf(NOW - 13 * HOUR, NOW)).toBe("Yesterday");
    expect(periodOf(NOW - 5 * DAY, NOW)).toBe("Last 7 days");
    expect(periodOf(NOW - 20 * DAY, NOW)).toBe("Last 30 days");
    expect(periodOf(NOW - 90 * DAY, NOW)).toBe("Older");
  });

  it("say how long something took", () => {
    expect(precise(320)).toBe("320 ms");
    expect(precise(1430)).toBe("1.4 s");
    expect(duration(65_000)).toBe("1 min 5 s");
  });
});
