// What each kind of part shows, and what rendering an answer must never do.

import type { LiveMessage, Part } from "@spool/client";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ChatActions } from "../actions";
import { Ending } from "../Ending";
import { PartList } from "./PartList";

afterEach(cleanup);

const show = (parts: Part[], running = false) => render(<PartList parts={parts} running={running} />);

describe("parts", () => {
  it("name a running tool, and show its input and result on demand", () => {
    const call = { type: "tool_call", toolCallId: "tc_1", tool: "clock", input: { zone: "UTC" } } as const;
    const { rerender } = show([{ ...call, state: "running" }], true);
    expect(screen.getByText("clock")).toBeTruthy();
    expect(screen.getByText("Running")).toBeTruthy();
    rerender(<PartList parts={[{ ...call, state: "completed", output: { hour: 8 } }]} running={false} />);
    expect(screen.getByText("Done")).toBeTruthy();
    expect(screen.queryByText(/"hour": 8/)).toBeNull();
    fireEvent.click(screen.getByRole("button"));
    expect(screen.getByText(/"hour": 8/)).toBeTruthy();
  });

  it("show reasoning while it grows and fold it away after", () => {
    const thought: Part = { type: "reasoning", text: "scattering" };
    const { rerender } = show([thought], true);
    expect(screen.getByText("scattering")).toBeTruthy();
    rerender(<PartList parts={[thought, { type: "text", text: "Because of it." }]} running />);
    expect(screen.queryByText("scattering")).toBeNull();
    fireEvent.click(screen.getByRole("button"));
    expect(screen.getByText("scattering")).toBeTruthy();
  });

  it("fetch nothing for what a model wrote, and run none of it", () => {
    const { container } = show([
      { type: "text", text: "![pixel](https://evil.example/x.png) <img src=https://evil.example/y> <script>alert(1)</script>" },
      { type: "source", title: "bad", url: "javascript:alert(1)" },
    ]);
    expect(container.querySelector("img")).toBeNull();
    expect(container.querySelector("script")).toBeNull();
    expect([...container.querySelectorAll("a")].every((link) => link.protocol === "https:")).toBe(true);
  });

  it("put neighbouring sources together", () => {
    show([
      { type: "source", title: "One", url: "https://one.example/" },
      { type: "source", title: "Two", url: "https://two.example/" },
    ]);
    expect(screen.getByText("2 sources")).toBeTruthy();
    expect(screen.getAllByRole("link")).toHaveLength(2);
  });

  it("name what they cannot show", () => {
    show([{ type: "data", mediaType: "application/json", json: {} }]);
    expect(screen.getByText("Data")).toBeTruthy();
  });
});

const answer = (fields: Partial<LiveMessage>): LiveMessage => ({
  key: "msg_1",
  id: "msg_1",
  role: "assistant",
  status: "complete",
  parts: [{ type: "text", text: "half" }],
  text: "half",
  createdAt: 0,
  generationId: "gen_1",
  requestId: null,
  model: "demo",
  agentId: null,
  usage: null,
  error: null,
  activity: null,
  waits: null,
  ...fields,
});

describe("an answer that did not end well", () => {
  const actions = { resend: vi.fn(), discard: vi.fn(), retry: vi.fn(() => Promise.resolve()), takeBack: null };
  const end = (view: LiveMessage, last = true) =>
    render(
      <ChatActions value={actions}>
        <Ending view={view} last={last} />
      </ChatActions>,
    );

  it.each([
    ["stopped", /stopped this answer/],
    ["interrupted", /is kept/],
    ["error", /The provider is down/],
  ] as const)("says so when it is %s, and offers another attempt", (status, words) => {
    end(answer({ status, error: status === "error" ? { code: "provider_error", message: "The provider is down.", retryable: true } : null }));
    expect(screen.getByText(words)).toBeTruthy();
    fireEvent.click(screen.getByText("Try again"));
    expect(actions.retry).toHaveBeenCalledWith("msg_1");
  });

  it("is not tried again from the middle of a conversation", () => {
    end(answer({ status: "stopped" }), false);
    expect(screen.queryByText("Try again")).toBeNull();
  });
});
