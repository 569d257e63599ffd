// What a cluster knows of a command that runs there, such as why it lets it wait: no change tells of it, so it is
// asked for while somebody looks, until the command has a node.

import { askWhileSeen } from "../asking.js";
import { useEffect, useState } from "../vendor/htm-preact.js";

const EACH_MS = 3000;

/** The number of the command that is asked about; -1: there is none. */
export function askedAbout(commands) {
  return commands.findIndex((command) => command.State === "running" && command.SlurmJobID !== undefined);
}

/** The commands with what was told of the one that runs elsewhere. */
export function withTold(commands, told) {
  const number = askedAbout(commands);
  if (number < 0 || !told || told.number !== number) return commands;
  return commands.map((command, n) => (n === number ? { ...command, ...told.facts } : command));
}

/** The job's commands, with what is known elsewhere. */
export function useElsewhere(api, view) {
  const [told, setTold] = useState(null);
  const number = askedAbout(view.Commands);
  useEffect(() => {
    if (number < 0) return undefined;
    return askWhileSeen(EACH_MS, () => api.job(view.ID), (now) => {
      const { SlurmJobID, Nodes, Queued } = now.Commands[number];
      setTold({ number, facts: { SlurmJobID, Nodes, Queued } });
      return Boolean(Nodes);
    });
  }, [view.ID, number]);
  return withTold(view.Commands, told);
}
