// Creates, sends and watches over Redis, on the channels of docs/wire.md. It needs
// the package "redis" and nothing of fsmesh.
const { createClient } = require("redis");
const { randomUUID } = require("node:crypto");

const usage = "usage: node shop.js create COMPONENT DATA | send INSTANCE EVENT [PAYLOAD] | watch";
const url = process.env.BROKER_URL || "redis://127.0.0.1:6379";
const patience = 5000; // ms

async function connect() {
  const client = createClient({ url, socket: { reconnectStrategy: false } });
  client.on("error", () => {}); // connect and commands fail, too
  return client.connect();
}

// command publishes a command and waits for its answer.
async function command(channel, body) {
  const [out, back] = [await connect(), await connect()];
  const correlationId = randomUUID();
  let timer;
  const answer = new Promise((resolve, reject) => {
    back.subscribe("xcomponent:command_response", (text) => {
      const m = JSON.parse(text);
      if (m.correlationId === correlationId) resolve(m);
    }).then(() => out.publish(channel, JSON.stringify({ ...body, correlationId, id: randomUUID(), timestamp: Date.now() })), reject);
    timer = setTimeout(() => reject(new Error("nobody answered: it is not known whether it was done")), patience);
  });
  try {
    const m = await answer;
    if (!m.ok) throw new Error(`${m.code}: ${m.message}`);
    console.log(m.instanceId, m.currentState);
  } finally {
    clearTimeout(timer);
    out.destroy();
    back.destroy();
  }
}

// watch prints what happens until the program is told to end.
async function watch() {
  const client = await connect();
  const kinds = ["instance_created", "state_change", "instance_completed"];
  await client.subscribe(kinds.map((k) => "xcomponent:" + k), (text) => {
    const { componentName, data: d, eventType } = JSON.parse(text);
    console.log(componentName, d.machineName, d.instanceId, eventType, d.newState || d.finalState || d.currentState);
  });
  console.log("watching");
}

const [verb, name, what, payload = "{}"] = process.argv.slice(2);
const verbs = {
  create: () => command("xcomponent:create_instance", { componentName: name, context: JSON.parse(what || "{}"), eventId: randomUUID() }),
  send: () => command("xcomponent:trigger_event", { instanceId: name, event: { id: randomUUID(), type: what, payload: JSON.parse(payload), timestamp: Date.now() } }),
  watch,
};
const run = verbs[verb] || (async () => { throw new Error(usage); });
run().catch((err) => { console.error(err.message); process.exit(1); });
