// Reads a job's output as an EventSource does, and does nothing against its connecting again: it ends when the
// EventSource gives up. Prints what came, and how often it was connected.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
const pieces = [];
const ends = [];
let opened = 0;

source.addEventListener("open", () => {
    opened += 1;
});
source.addEventListener("output", (event) => {
    const { Text, Data } = JSON.parse(event.data);
    pieces.push(Data === undefined ? Buffer.from(Text, "utf8") : Buffer.from(Data, "base64"));
    if (pieces.length === 1) console.error("began");
});
source.addEventListener("end", (event) => {
    ends.push({ id: event.lastEventId, ...JSON.parse(event.data) });
});
source.addEventListener("error", (event) => {
    if (source.readyState !== EventSource.CLOSED) return;
    const output = Buffer.concat(pieces).toString("base64");
    console.log(JSON.stringify({ output, ends, opened, code: event.code }));
});
