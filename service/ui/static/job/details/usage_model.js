// Samples of what a job uses. Pure.

// As many as two seconds apart are an hour.
const KEPT = 1800;

/** The samples with one more, the oldest dropped; `at` in seconds. */
export function taken(samples, { at, usage }) {
  const sample = { at, cpuSeconds: usage?.CPUSeconds ?? null, memory: usage?.Memory ?? null };
  return [...samples, sample].slice(-KEPT);
}

/** How many CPUs were used between each two samples; null where nobody knows. */
export function cpusOf(samples) {
  return samples.slice(1).map((sample, n) => {
    const before = samples[n];
    if (sample.cpuSeconds === null || before.cpuSeconds === null || sample.at <= before.at) return null;
    return Math.max(0, (sample.cpuSeconds - before.cpuSeconds) / (sample.at - before.at));
  });
}
