// What no change tells of is asked for, while somebody looks.

/**
 * Asks now, and `eachMs` after each answer. `take` is given what came, and nothing is asked any more once
 * it returns true; what fails, and what is null, is asked again. Returns what ends it.
 */
export function askWhileSeen(eachMs, ask, take) {
  let timer = null;
  let isOver = false;
  async function next() {
    if (!document.hidden) {
      const answer = await ask().catch(() => null);
      if (isOver || (answer !== null && take(answer))) return;
    }
    timer = setTimeout(next, eachMs);
  }
  next();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
