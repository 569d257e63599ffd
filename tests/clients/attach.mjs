// Kubernetes' own client for Node attaches to a job: `attach.mjs URL ID`, standard input is the job's.
import { Attach, KubeConfig } from '@kubernetes/client-node';

const [url, id] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromClusterAndUser({ name: 'jobrunner', server: url, skipTLSVerify: true }, { name: 'me' });
const attach = new Attach(config);
const handler = attach.handler;
// Where the job is, in the place of a pod.
attach.handler = { connect: (_path, ...handlers) => handler.connect(`/${id}/ws`, ...handlers) };
// It reads the status, and drops it.
let status = '';
const { handleStandardStreams, StatusStream } = handler.constructor;
handler.constructor.handleStandardStreams = (stream, data, out, err) => {
    status = stream === StatusStream ? data.toString() : status;
    return handleStandardStreams(stream, data, out, err);
};
const connection = await attach.attach('', id, '', process.stdout, process.stderr, process.stdin, false);
console.error(`spoken ${connection.protocol}`);
connection.onclose = ({ code }) => {
    console.error(`closed ${code} ${status}`);
};
