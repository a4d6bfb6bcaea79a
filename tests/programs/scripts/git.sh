# SPDX-License-Identifier: MIT
# A repository with fixed dates and authors: the hashes are the same everywhere. Run by sh.
set -e
export HOME=$PWD/home GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@d
export GIT_PAGER=cat GIT_TERMINAL_PROMPT=0
mkdir home repository && cd repository
git init -q -b main .
git config gc.auto 0
git config pack.threads 2
day=1000000000
commit() {
	export GIT_AUTHOR_DATE="$day +0000" GIT_COMMITTER_DATE="$day +0000"
	day=$((day + 3600))
	git add -A
	git commit -q -m "$1"
}
cp -r ../tree ../text . && commit first
for i in 1 2 3; do sed "s/word$i/WORD$i/" ../text > text; mkdir -p d$i; echo "file $i" > d$i/f; commit "change $i"; done
git log --format='%h %an %ad %s' --date=iso
git checkout -q -b side HEAD~2 && echo side > side && commit side
git checkout -q main && git merge -q --no-edit -m merge side
git log --graph --oneline --stat | tail -12
git diff HEAD~1 --stat; git show --format=%H -s
git blame -s text | tail -1
git stash list; echo dirty >> text; git status --short; git stash -q; git stash pop -q; git checkout -q text
git count-objects | sed 's/,.*//'
git gc -q
git count-objects; ls .git/objects/pack | wc -l
git fsck --no-progress && git rev-parse HEAD
git clone -q --no-local . ../clone && git -C ../clone log --oneline | wc -l
git archive HEAD | tar tf - | sort | md5sum
cd .. && rm -rf repository clone home
