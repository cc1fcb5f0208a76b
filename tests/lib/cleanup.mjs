// What a test opened is closed when the test ends, last opened first closed. `t` is a test context, or
// `{ after }` for a whole file.

const stacks = new WeakMap();

export function onEnd(t, close) {
  if (t === undefined || t === null) return;
  let stack = stacks.get(t);
  if (stack === undefined) {
    stack = [];
    stacks.set(t, stack);
    t.after(() => unwind(stack));
  }
  stack.push(close);
}

async function unwind(stack) {
  const errors = [];
  while (stack.length > 0) {
    try {
      await stack.pop()();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
