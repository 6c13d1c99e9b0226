import { assert, test } from "../support/harness.ts";
import { until, withWorker } from "../support/miniflare.ts";
import { Remote } from "./remote.ts";

interface Answer {
  readonly index: string;
  readonly life: string;
  readonly counts: Record<string, number>;
}

/** workerd puts an object away that nobody has asked for so long, in milliseconds: 10 s, and some. */
const IDLE = 11_500;

test("DurableReplica: an object is hibernated while a client is connected, and has everything when it is told more", () =>
  withWorker(async (worker) => {
    const sleeper = new Remote(worker, "sleeper/a");
    for (let i = 0; i < 5; i++) await sleeper.add("word");
    await sleeper.snapshot();
    const socket = new WebSocket(`${sleeper.url.replace("http", "ws")}/socket`);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error("The socket did not open"));
    });
    const say = (word: string) =>
      new Promise<Answer>((resolve) => {
        socket.onmessage = ({ data }) => resolve(JSON.parse(data as string));
        socket.send(word);
      });
    const first = await say("before");
    let said = 0;
    const second = await until("hibernation", async () => {
      const answer = await say("word");
      said++;
      return answer.life === first.life ? undefined : answer;
    }, { seconds: 60, every: IDLE });
    assert.deepEqual(second.counts, { word: 5 + said, before: 1 });
    assert.equal(second.index, String(6 + said));
    socket.close();
  }));
