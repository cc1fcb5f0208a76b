import { expect, it } from "vitest";
import { sizeOf } from "./size";

it("says sizes as people do", () => {
  expect([0, 1, 3, 1023, 1434, 20 << 20, 3 * 2 ** 40].map(sizeOf)).toEqual([
    "0 bytes", "1 byte", "3 bytes", "1023 bytes", "1.4 KB", "20 MB", "3072 GB",
  ]);
});
