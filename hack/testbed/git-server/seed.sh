#!/bin/sh
# Makes /repos/<name>.git from each tar archive /seed/<name>.tar, once.
set -eu
export HOME=/tmp GIT_AUTHOR_NAME=Demo GIT_AUTHOR_EMAIL=demo@noreply.invalid
export GIT_COMMITTER_NAME=Demo GIT_COMMITTER_EMAIL=demo@noreply.invalid
for archive in /seed/*.tar; do
  name=$(basename "$archive" .tar)
  [ -d "/repos/$name.git" ] && continue
  work=$(mktemp -d)
  tar -xf "$archive" -C "$work"
  git -C "$work" init -q -b main
  git -C "$work" add -A
  git -C "$work" commit -q -m "Start the project"
  git clone -q --bare "$work" "/repos/$name.git"
  git -C "/repos/$name.git" config http.receivepack true
  rm -rf "$work"
done
ls /repos
