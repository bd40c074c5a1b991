#!/usr/bin/env bash
# Copies what cannot be made again, the labels and the trained models, while the server runs.
#
#   backup.sh DESTINATION FOLDER...      for example: backup.sh /mnt/backup/vptct /srv/ct/labels /srv/ct/models
#
# Needs rsync. Labels and published models never change and appear whole, so a plain copy of the files is right at
# any moment. For the same reason a file that is in the backup already is left alone: what goes wrong on the disk
# later (damage, a deleted folder, blackmail) never gets into the backup. Nothing is removed from it either.
set -euo pipefail

if [ "$#" -lt 2 ]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
destination=$1
shift
mkdir -p "$destination"
for folder in "$@"; do
  # -a keeps the times: when a label was saved is told by its file. Left out: hidden files, which are still being
  # written; empty ones, which on a disk without hard links hold the place of a label for a moment; the index,
  # which is only a cache.
  rsync -a --ignore-existing --min-size=1 --exclude='.*' --exclude='/studies-index.json' --prune-empty-dirs \
    "${folder%/}/" "$destination/$(basename "$folder")/"
  # The one file that does change: what the labelled studies were, should they move.
  if [ -f "$folder/examinations.json" ]; then
    rsync -a "$folder/examinations.json" "$destination/$(basename "$folder")/"
  fi
done
