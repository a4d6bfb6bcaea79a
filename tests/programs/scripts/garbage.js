// SPDX-License-Identifier: MIT
// More than 200 MB of objects, most of which die young.
const keep = [];
let sum = 0;
for (let i = 0; i < 220; i++) {
  const a = new Array(16384);
  for (let j = 0; j < a.length; j++) a[j] = { v: j ^ i, s: 'x' + (j & 7), o: [i, j] };
  sum = (sum + a[(i * 7919) % a.length].v) | 0;
  if (i % 40 === 0) keep.push(a);
}
let total = 0;
for (const a of keep) for (const e of a) total = (total + e.v + e.o[1] + e.s.length) | 0;
console.log(sum, total, keep.length);
const m = new Map();
for (let i = 0; i < 50000; i++) m.set('k' + (i * 7919) % 50021, i);
console.log(m.size, m.get('k7'), Buffer.alloc(1 << 20, 'ab').toString().length);
console.log(JSON.stringify([...Array(5).keys()].map((n) => n ** 10)));
Promise.all([1, 2, 3].map((n) => new Promise((done) => setTimeout(() => done(n * 2), 3 - n)))).then((r) => console.log(r.join()));
