// SPDX-License-Identifier: MIT
// Runs the script of a film with as little of a browser as it needs: every picture is drawn, each with a box for every call it shows.
'use strict';
const page = require('fs').readFileSync(process.argv[2], 'utf8');
const mark = 'type="application/json">';
const start = page.indexOf(mark) + mark.length;
const end = page.indexOf('</script>', start);
const script = page.slice(page.indexOf('<script>', end) + 8, page.lastIndexOf('</script>'));
const made = {};

function element() {
  return {
    children: [], attributes: {}, heard: {}, value: '', text: '',
    set textContent(v) { this.text = v; },
    get textContent() { return this.text; },
    appendChild(c) { this.children.push(c); },
    replaceChildren() { this.children = []; },
    addEventListener(name, f) { this.heard[name] = f; },
    getBoundingClientRect() { return {left: 0, width: 1200}; },
    setAttribute(k, v) {
      if (/NaN|undefined/.test(String(v)))
        throw new Error(k + ' is ' + v);
      this.attributes[k] = v;
      if (k === 'id')
        made[v] = this;
    },
  };
}

global.document = {
  getElementById: id => made[id] || (made[id] = element()),
  createElementNS: element,
};
document.getElementById('data').text = page.slice(start, end);
document.getElementById('speed').value = '10';
new Function(script + '\nglobal.show = show; global.D = D;')();
for (let i = 0; i < D.frames.length; i++) {
  show(i);
  const boxes = made.stacks.children.filter(c => String(c.attributes.fill).startsWith('hsl')).length;
  const threads = new Set(D.frames.slice(0, i + 1).map(f => f[1])).size;
  if (threads === 1 && boxes !== D.frames[i][4].length / 2)
    throw new Error('picture ' + i + ': ' + boxes + ' boxes');
}
made.deep.heard.click();
const most = Math.max(...D.frames.map(f => f[3]));
if (!made.say.text.includes(most.toLocaleString('en-US') + ' bytes'))
  throw new Error('the deepest is not ' + most + ' bytes: ' + made.say.text);
made.on.heard.click();
made.back.heard.click();
console.log(D.frames.length + ' pictures');
