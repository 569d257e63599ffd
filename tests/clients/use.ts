// Submits a job, attaches to it, kills it and lists it, with the types that were made of the description.
import type { components, paths } from "./jobrunner.js";

type Job = components["schemas"]["JobBody"];
type View = paths["/{ID}/wait"]["get"]["responses"][200]["content"]["application/json"];
type Killed = paths["/{ID}"]["delete"]["responses"][200]["content"]["application/json"];
type Accepted = paths["/"]["post"]["responses"][201]["content"]["application/json"];
type Problem = components["schemas"]["Problem"];
type List = NonNullable<paths["/"]["get"]["parameters"]["query"]>;

const url = process.argv[2] ?? "";

async function call<T>(method: string, path: string, job?: Job): Promise<T> {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(url + path, { method, headers, ...(job && { body: JSON.stringify(job) }) });
    if (!answer.ok) throw new Error(((await answer.json()) as Problem).detail);
    return (await answer.json()) as T;
}

// Every key may be left out.
const simple: Job = { CommandLine: "echo hello; sleep 600" };
const sequence: Job = {
    Labels: { of: "typescript" },
    Timeout: null,
    Commands: [{ CommandLine: "exit 3", ContinueOnFailure: true }, { Kind: "bash", CommandLine: "echo b" }],
};

const { ID } = await call<Accepted>("POST", "/", simple);
const output = await fetch(`${url}/${ID}/attach`);
const reader = output.body!.pipeThrough(new TextDecoderStream()).getReader();
const first = (await reader.read()).value ?? "";
const killed = await call<Killed>("DELETE", `/${ID}?wait=true&grace=0`);
while (!(await reader.read()).done);

const other = await call<Accepted>("POST", "/", sequence);
const view = await call<View>("GET", `/${other.ID}/wait`);
const query: List = { state: "all", label: ["of=typescript"], limit: 10 };
const listed = await call<components["schemas"]["Listing"]>("GET", `/?state=${query.state}&label=${query.label![0]}`);
const refused = await call<Accepted>("POST", "/", { CommandLine: "" }).catch((error: Error) => error.message);

const codes: (number | null)[] = view.Commands.map((command) => command.ExitCode);
console.log(JSON.stringify({ first, killed: killed.State, codes, bytes: view.Output.Bytes, listed: listed.IDs.includes(other.ID), refused }));
