// SPDX-License-Identifier: MIT
// Worker threads and shared memory.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  const cells = new Int32Array(shared);
  const results = [];
  for (let i = 0; i < 3; i++) {
    const w = new Worker(__filename, { workerData: { i, shared } });
    w.on('message', (m) => {
      results.push(m);
      if (results.length === 3) console.log(results.sort((a, b) => a - b).join(), Atomics.load(cells, 0));
    });
  }
} else {
  const cells = new Int32Array(workerData.shared);
  for (let k = 0; k < 1000; k++) Atomics.add(cells, 0, 1);
  let x = 0;
  for (let k = 0; k < 200000; k++) x = (x * 31 + k + workerData.i) | 0;
  parentPort.postMessage(x);
}
