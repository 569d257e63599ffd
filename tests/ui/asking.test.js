import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { askWhileSeen } from "../../service/ui/static/asking.js";

// What is awaited between two questions.
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("it is asked at once and again, until enough is known, only while the page is seen", async (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  globalThis.document = { hidden: false };
  const answers = [1, null, new Error("away"), 2, 3];
  let asked = 0;
  const taken = [];
  const ask = async () => {
    const answer = answers[asked++];
    if (answer instanceof Error) throw answer;
    return answer;
  };
  askWhileSeen(1000, ask, (answer) => {
    taken.push(answer);
    return answer === 2;
  });
  await settled();
  assert.deepEqual(taken, [1]);
  globalThis.document.hidden = true;
  mock.timers.tick(1000);
  await settled();
  assert.equal(asked, 1);
  globalThis.document.hidden = false;
  for (let n = 0; n < 9; n++) {
    mock.timers.tick(1000);
    await settled();
  }
  assert.deepEqual([taken, asked], [[1, 2], 4]);
});

test("what comes after the end isn't taken, and nothing is asked any more", async (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  globalThis.document = { hidden: false };
  let asked = 0;
  const taken = [];
  const end = askWhileSeen(1000, async () => ++asked, (answer) => void taken.push(answer));
  end();
  await settled();
  mock.timers.tick(5000);
  await settled();
  assert.deepEqual([taken, asked], [[], 1]);
});
