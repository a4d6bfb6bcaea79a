/* SPDX-License-Identifier: MIT */
/*
 * ui/stack/film.c: the film: an HTML page in which the stacks of a run grow and shrink.
 *
 * Called by stack.c. The page is one file that asks nothing of any network: what was recorded (trace/film.h) as JSON, and a script that
 * draws it: each thread's stack in a column of its own, growing downwards, below it bytes of stack over the whole run.
 */
#include <inttypes.h>

#include "ui/stack/stack.h"

/* A JSON string that may stand in a script element too: '<' is written as an escape. */
static void put_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s < 0x20 || *s >= 0x7f || *s == '<' || *s == '&')
			fprintf(out, "\\u%04x", *s);
		else
			fputc(*s, out);
	}
	fputc('"', out);
}

static void put_frame(const struct pg_film_frame *f, bool first, FILE *out)
{
	fprintf(out, "%s[%" PRIu64 ",%u,%" PRIu32 ",%" PRIu64 ",[", first ? "" : ",\n", f->event,
		f->thread, f->depth, f->bytes);
	for (unsigned i = 0; i < f->count; i++)
		fprintf(out, "%s%" PRIu32 ",%" PRIu32, i ? "," : "", f->calls[i].function,
			f->calls[i].below);
	fputs("]]", out);
}

static void put_data(const struct pg_stack_result *r, FILE *out)
{
	const struct pg_calls *c = r->calls;
	const struct pg_film *film = &c->film;

	fputs("{\"command\":", out);
	put_string(r->title, out);
	fprintf(out, ",\n\"events\":%" PRIu64 ",\"step\":%" PRIu64 ",\"half\":%d,\n\"functions\":[",
		c->events, film->step, PG_FILM_DEPTH);
	for (uint32_t i = 0; i < c->tree.function_count; i++) {
		if (i)
			fputc(',', out);
		put_string(c->tree.functions[i].name, out);
	}
	fputs("],\n\"threads\":[", out);
	for (unsigned i = 0; i < c->thread_count; i++) {
		const struct pg_calls_thread *t = c->threads[i];

		fprintf(out, "%s{\"tid\":%d,\"most\":%" PRIu64 ",\"width\":%" PRIu64 ",\"line\":[",
			i ? "," : "", t->tid, t->bytes_max, t->line.width);
		bool first = true;
		for (unsigned p = 0; p < t->line.count; p++) {
			const struct pg_film_point *at = &t->line.points[p];
			if (!at->set)
				continue;
			fprintf(out, "%s[%u,%" PRIu64 ",%" PRIu64 "]", first ? "" : ",", p,
				at->bytes_low, at->bytes_high);
			first = false;
		}
		fputs("]}", out);
	}
	/* the deepest moment is in it whatever the step is, in its place */
	fputs("],\n\"frames\":[\n", out);
	bool told = !film->has_deepest, first = true;
	for (size_t i = 0; i < film->count; i++) {
		const struct pg_film_frame *f = &film->frames[i];

		if (!told && f->event >= film->deepest.event) {
			told = true;
			if (f->event != film->deepest.event || f->thread != film->deepest.thread) {
				put_frame(&film->deepest, first, out);
				first = false;
			}
		}
		put_frame(f, first, out);
		first = false;
	}
	if (!told)
		put_frame(&film->deepest, first, out);
	fputs("\n]}", out);
}

static const char head[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Pagoda: stacks over time</title>\n"
	"<style>\n"
	"body{font:14px system-ui,sans-serif;margin:16px;color:#222;background:#fff}\n"
	"h1{font-size:18px;margin:0 0 8px}\n"
	"#bar{display:flex;gap:8px;align-items:center;margin:8px 0}\n"
	"#at{flex:1}\n"
	"button,select{font:inherit}\n"
	"#say{font-family:ui-monospace,monospace;margin:4px 0;min-height:1.4em}\n"
	"svg{display:block;width:100%}\n"
	"svg text{font-family:ui-monospace,monospace}\n"
	"</style></head><body>\n"
	"<h1 id=\"title\"></h1>\n"
	"<div id=\"bar\"><button id=\"play\">Play</button><button id=\"back\">&lt;</button>\n"
	"<button id=\"on\">&gt;</button><input id=\"at\" type=\"range\" min=\"0\" value=\"0\">\n"
	"<label>frames a second <select id=\"speed\"><option>2</option><option>5</option>\n"
	"<option selected>10</option><option>25</option><option>60</option></select></label>\n"
	"<button id=\"deep\">deepest</button></div>\n"
	"<div id=\"say\"></div>\n"
	"<svg id=\"stacks\" viewBox=\"0 0 1200 560\"></svg>\n"
	"<svg id=\"line\" viewBox=\"0 0 1200 150\"></svg>\n"
	"<p id=\"note\"></p>\n"
	"<script id=\"data\" type=\"application/json\">\n";

static const char script[] =
	"\n</script><script>\n"
	"'use strict';\n"
	"const D=JSON.parse(document.getElementById('data').textContent);\n"
	"const N='http://www.w3.org/2000/svg';\n"
	"const $=id=>document.getElementById(id);\n"
	"const number=n=>String(n).replace(/\\B(?=(\\d{3})+$)/g,',');\n"
	"function hue(s){let h=7;for(const c of s)h=(h*31+c.charCodeAt(0))%360;return h}\n"
	"function put(to,name,a,text){const e=document.createElementNS(N,name);\n"
	" for(const k in a)e.setAttribute(k,a[k]);if(text!==undefined)e.textContent=text;\n"
	" to.appendChild(e);return e}\n"
	"/* The stack of every thread at frame i: its last one up to there. */\n"
	"function stateAt(i){const s=D.threads.map(()=>null);\n"
	" for(let k=0;k<=i;k++)s[D.frames[k][1]]=D.frames[k];return s}\n"
	"/* Calls of a frame: function, bytes, outermost first; null stands for those left out. "
	"*/\n"
	"function callsOf(f){const c=f[4],n=c.length/2,out=[];\n"
	" for(let i=0;i<n;i++){if(f[2]>n&&i===D.half)out.push(null);\n"
	"  const next=i+1<n?c[2*i+3]:f[3];\n"
	"  out.push({f:c[2*i],bytes:Math.max(next-c[2*i+1],0)})}\n"
	" return out}\n"
	"function height(b){return Math.min(64,Math.max(16,16+6*Math.log2(Math.max(b,16)/16)))}\n"
	"function draw(i){const f=D.frames[i],svg=$('stacks');svg.replaceChildren();\n"
	" const states=stateAt(i),shown=states.map((s,t)=>[s,t]).filter(p=>p[0]);\n"
	" const w=Math.min(280,1180/Math.max(shown.length,1));\n"
	" shown.forEach(([s,t],column)=>{const x=10+column*w,now=t===f[1];\n"
	"  put(svg,'text',{x,y:16,'font-size':13,'font-weight':now?'bold':'normal'},\n"
	"   'thread '+D.threads[t].tid+(now?' *':''));\n"
	"  const calls=callsOf(s),all=calls.reduce((a,c)=>a+(c?height(c.bytes):16),0);\n"
	"  const scale=Math.min(1,500/Math.max(all,1));let y=26;\n"
	"  for(const c of calls){const h=(c?height(c.bytes):16)*scale;\n"
	"   if(c){const name=D.functions[c.f]||'?';\n"
	"    const r=put(svg,'rect',{x,y,width:w-14,height:Math.max(h-1,.5),\n"
	"     fill:'hsl('+hue(name)+' 60% 82%)',stroke:now?'#555':'#bbb','stroke-width':.5});\n"
	"    put(r,'title',{},name+', '+number(c.bytes)+' bytes');\n"
	"    if(h>=10){const t=name.length>(w-90)/7?name.slice(0,(w-104)/7)+'...':name;\n"
	"     put(svg,'text',{x:x+4,y:y+Math.min(h-3,12),'font-size':11},t);\n"
	"     put(svg,'text',{x:x+w-18,y:y+Math.min(h-3,12),'font-size':10,'text-anchor':'end',\n"
	"      fill:'#555'},number(c.bytes))}}\n"
	"   else put(svg,'text',{x:x+4,y:y+12,'font-size':10,fill:'#777'},\n"
	"    '... '+number(s[2]-s[4].length/2)+' calls more');\n"
	"   y+=h}\n"
	"  put(svg,'line',{x1:x-4,x2:x+w-10,y1:y,y2:y,stroke:'#d55e00','stroke-width':2});\n"
	"  put(svg,'text',{x,y:y+14,'font-size':11,fill:'#d55e00'},\n"
	"   'rsp: '+number(s[3])+' bytes, '+number(s[2])+' calls')});\n"
	" const p=i?D.frames[i-1]:null;\n"
	" const what=!p||p[1]!==f[1]?'':f[2]>p[2]?'grows: ':f[2]<p[2]?'shrinks: ':'';\n"
	" const n=f[4].length,top=n?D.functions[f[4][n-2]]:'';\n"
	" $('say').textContent='event '+number(f[0])+' of '+number(D.events)+', thread '+\n"
	"  D.threads[f[1]].tid+': '+what+(top||'')+', '+number(f[2])+' calls deep, '+\n"
	"  number(f[3])+' bytes';\n"
	" $('cursor').setAttribute('x1',X(f[0]));$('cursor').setAttribute('x2',X(f[0]));\n"
	" $('at').value=i}\n"
	"const colours=['#0072b2','#e69f00','#009e73','#d55e00','#cc79a7','#56b4e9','#999'];\n"
	"const most=Math.max(1,...D.threads.map(t=>t.most));\n"
	"const X=e=>50+1130*e/Math.max(D.events,1),Y=b=>130-115*b/most;\n"
	"function drawLine(){const svg=$('line');\n"
	" put(svg,'text',{x:0,y:18,'font-size':11},number(most));\n"
	" put(svg,'text',{x:0,y:130,'font-size':11},'0 bytes');\n"
	" D.threads.forEach((t,k)=>{const up=[],down=[];\n"
	"  for(const [i,lo,hi] of t.line){const x=X(i*t.width);up.push(x+','+Y(hi));\n"
	"   down.unshift(x+','+Y(lo))}\n"
	"  put(svg,'polygon',{points:up.concat(down).join(' '),fill:colours[k%7],\n"
	"   'fill-opacity':.35,stroke:colours[k%7],'stroke-width':1})});\n"
	" put(svg,'line',{id:'cursor',y1:8,y2:134,stroke:'#000','stroke-width':1});\n"
	" svg.addEventListener('click',e=>{const b=svg.getBoundingClientRect();\n"
	"  const at=((e.clientX-b.left)/b.width*1200-50)/1130*D.events;let i=0;\n"
	"  while(i+1<D.frames.length&&D.frames[i+1][0]<=at)i++;show(i)})}\n"
	"let at=0,timer=null;\n"
	"function "
	"show(i){at=Math.max(0,Math.min(D.frames.length-1,i));if(D.frames.length)draw(at)}\n"
	"function stop(){clearInterval(timer);timer=null;$('play').textContent='Play'}\n"
	"function start(){if(at>=D.frames.length-1)at=-1;$('play').textContent='Stop';\n"
	" timer=setInterval(()=>{if(at>=D.frames.length-1)stop();else show(at+1)},\n"
	"  1000/Number($('speed').value))}\n"
	"$('title').textContent='Stacks of '+D.command+' growing and shrinking';\n"
	"$('at').max=Math.max(D.frames.length-1,0);\n"
	"$('at').addEventListener('input',e=>show(Number(e.target.value)));\n"
	"$('play').addEventListener('click',()=>timer?stop():start());\n"
	"$('speed').addEventListener('change',()=>{if(timer){stop();start()}});\n"
	"$('back').addEventListener('click',()=>{stop();show(at-1)});\n"
	"$('on').addEventListener('click',()=>{stop();show(at+1)});\n"
	"$('deep').addEventListener('click',()=>{stop();let b=0;\n"
	" D.frames.forEach((f,i)=>{if(f[3]>D.frames[b][3])b=i});show(b)});\n"
	"$('note').textContent=number(D.frames.length)+' pictures'+(D.step>1?\n"
	" ', one every '+number(D.step)+' calls and returns, and the deepest':\n"
	" ', one for each call and return')+'. The stack grows downwards; a frame is a call, its "
	"'+\n"
	" 'height follows the logarithm of its bytes.';\n"
	"drawLine();show(0);\n"
	"</script></body></html>\n";

void pg_stack_film(const struct pg_stack_result *r, FILE *out)
{
	fputs(head, out);
	put_data(r, out);
	fputs(script, out);
}
