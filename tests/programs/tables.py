#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/tables.py: real programs under every form of page table.

    tables.py --pagoda build/pagoda --guests build/tests/guest [--mode exact|fast]

Each program of a selection of run.py's is run natively and then under each form. Output, status and files must be the
native ones, and what a program needs must not depend on the form: sizes, resident pages, faults of each kind,
instructions, TLB lookups. Two figures may differ, both under an inverted table only: soft faults, and the lookups
that they repeat. R7, R8, R9.

One line a case; at the end `N passed, N failed, N skipped`.
"""
import os
import shutil
import sys

import run

FORMS = ('radix', 'radix:5,cache=8', 'hashed', 'hashed:clustered=8,grow=once', 'inverted')
PROGRAMS = ('guest: hello-dynamic', 'guest: signals-static', 'guest: mapfile-dynamic', 'guest: alias-static',
            'guest: sparse-static', 'guest: manymaps-static', 'guest: jit-static', 'guest: crossing-static',
            'guest: smc-pie', 'guest: stack_grow-pie', 'guest: barrier-static', 'tools: sort', 'tools: grep -r',
            'tools: tar', 'tools: sha256sum', 'tools: bash', 'tools: awk', 'languages: sqlite3',
            'languages: python3')
# Of several processes, which take turns by the host's clock: results only, no figures.
FAMILIES = ('family: forks cow', 'family: forks sharing', 'family: forks deep', 'family: forks wide',
            'family: forks threads', 'family: forks exec', 'family: shared file', 'family: shared posix')
# Soft faults are more; what repeats with them: a lookup, and in the exact mode a walk and what it does to the TLBs.
SOFT = ('all', 'soft', 'minor', 'by_kernel')
MEMORY = ('vsz_bytes', 'vsz_peak_bytes', 'rss_bytes', 'rss_peak_bytes', 'rss_anon_bytes', 'rss_file_bytes',
          'rss_shmem_bytes', 'regions', 'regions_peak', 'page_table_entries')
EXECUTION = ('instructions', 'loads', 'stores', 'system_calls')
LOOKUPS = ('data_lookups', 'fetch_lookups', 'l1_data_misses', 'l1_fetch_misses', 'l2_misses', 'walks', 'dirty_walks',
           'page_crossings')


class Tables(run.Runner):
    def compare(self, case):
        argv = [w.replace('{guest}', self.o.guests) for w in case.argv]
        if shutil.which(argv[0], path=run.ENV['PATH']) is None and not os.path.exists(argv[0]):
            self.say(None, case.group, case.name, 'no ' + argv[0])
            return
        native = self.execute(argv, case.stdin)
        first, family = None, '%s: %s' % (case.group, case.name) in FAMILIES
        if family:
            for form in ('hashed', 'inverted'):
                figures = self.form_figures(case, argv, form)
                wrong = self.same_result(native, figures) or self.sound(form, figures[1])
                if not wrong and form == 'inverted' and not figures[1]['memory']['page_table_displaced']:
                    wrong = ['no entry ever gave way to another']
                self.say(not wrong, case.group, '%s under %s' % (case.name, form), ', '.join(wrong[:6]))
            return
        for form in FORMS if self.o.mode == 'exact' else ('radix', 'hashed', 'inverted'):
            figures = self.form_figures(case, argv, form)
            wrong = self.same_result(native, figures)
            if not wrong and first:
                wrong = self.same_figures(first[1], figures[1], form.startswith('inverted'))
            if not wrong:
                wrong = self.sound(form, figures[1])
            first = first or figures
            self.say(not wrong, case.group, '%s under %s' % (case.name, form), ', '.join(wrong[:6]))

    def form_figures(self, case, argv, form):
        path = os.path.join(self.base, 'figures.json')
        if os.path.exists(path):
            os.unlink(path)
        result = self.execute(
            self.pagoda(case.memory, '--page-table', form, '--json', path, *case.flags) + argv, case.stdin)
        try:
            with open(path) as f:
                return result, run.json.load(f)
        except (OSError, ValueError) as e:
            return result, {'error': str(e)}

    @staticmethod
    def same_result(native, figures):
        (status, out, err, files), j = figures
        if 'error' in j:
            return [j['error'], err.decode('utf-8', 'replace')[-200:]]
        return ['%s differs' % what for what, a, b in (
            ('status', native[0], status), ('stdout', native[1], out), ('files', native[3], files)) if a != b]

    @staticmethod
    def same_figures(a, b, inverted):
        wrong = []
        soft = b['faults']['soft'] - a['faults']['soft']
        threads = a['execution']['instructions'] != b['execution']['instructions']
        if threads and a['execution']['instructions'] is not None:
            return []  # turns of threads end by the host's clock: nothing is the same twice

        def equal(part, names):
            for name in names:
                if (a[part] or {}).get(name) != (b[part] or {}).get(name):
                    wrong.append('%s %s, radix %s' % (name, b[part][name], a[part][name]))
        equal('memory', MEMORY)
        equal('execution', EXECUTION)
        equal('faults', [k for k in a['faults'] if k not in SOFT])
        if not inverted:
            equal('faults', SOFT)
            if a['translation']:
                equal('translation', LOOKUPS + ('faulting_lookups', 'invalidations'))
        elif b['faults']['all'] - a['faults']['all'] != soft or soft < 0:
            wrong.append('faults %s, of them %s soft' % (b['faults']['all'], b['faults']['soft']))
        return wrong

    @staticmethod
    def sound(form, j):
        """What must be so under this form whatever the others say."""
        wrong, m, t = [], j['memory'], j['translation']
        held = m['page_table_frames_peak'] + m['page_table_shared_frames']
        if held < 1 or held > j['memory']['frames_used_peak']:
            wrong.append('%d frames of page tables' % held)
        if form.startswith('inverted') != (m['page_table_shared_frames'] > 0):
            wrong.append('%d shared frames' % m['page_table_shared_frames'])
        if not t:
            return wrong
        walks = t['walks'] + t['dirty_walks']
        if sum(t['walk_lengths']) != walks:
            wrong.append('%d walks by length, %d' % (sum(t['walk_lengths']), walks))
        refs = sum(i * n for i, n in enumerate(t['walk_lengths']))
        if refs != t['walk_references'] and not t['walk_lengths'][-1]:
            wrong.append('%d references by length, %d' % (refs, t['walk_references']))
        if 'cache' in form:
            if t['walk_references_saved'] <= 0 or t['walk_references'] >= 5 * walks:
                wrong.append('a page-walk cache that saves nothing')
        elif t['walk_references_saved'] or t['walk_references'] < walks:
            wrong.append('%d references in %d walks' % (t['walk_references'], walks))
        return wrong

    def run(self):
        for case in run.CASES:
            if '%s: %s' % (case.group, case.name) in PROGRAMS + FAMILIES:
                self.compare(case)
        shutil.rmtree(self.base)
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))
        return 1 if self.failed else 0


def main():
    o = run.parsed(run.arguments(__doc__))
    o.timeout = run.TIMEOUT
    return Tables(o).run()


if __name__ == '__main__':
    sys.exit(main())
