#!/usr/bin/env bash
# Copies what cannot be made again, the labels and the trained models, while the server runs.
#
#   backup.sh DESTINATION FOLDER...      for example: backup.sh /mnt/backup/vptct /srv/ct/labels /srv/ct/models
#
# Needs rsync. Labels and versions of models never change and appear whole, so a plain copy of the files is right
# at any moment. For the same reason one that is in the backup already is left alone: what goes wrong on the disk
# later (damage, a deleted folder, blackmail) never gets over it. Nothing is removed from the backup either.
set -euo pipefail

if [ "$#" -lt 2 ]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
destination=$1
shift
mkdir -p "$destination"
for folder in "$@"; do
  copy=$destination/$(basename "$folder")
  # What does change: which model is served, on which side each patient is, and what the labelled studies were. It
  # is copied first, so that the copy never names a version that came later and is not in it.
  rsync -a --checksum --prune-empty-dirs --include='/examinations.json' --include='/*/' --include='/*/served.json' \
    --include='/splits/*.json' --exclude='*' "${folder%/}/" "$copy/"
  # What was offered to whom only grows, and only what is new at its end is copied: no damage gets over the rest.
  rsync -a --append --prune-empty-dirs --include='/worklist/' --include='/worklist/history.jsonl' --exclude='*' \
    "${folder%/}/" "$copy/"
  # -a keeps the times: when a label was saved is told by its file. Left out: hidden files, which are still being
  # written; empty ones, which on a disk without hard links hold the place of a label for a moment; the index,
  # which is only a cache; and who has which study open at the moment.
  rsync -a --prune-empty-dirs --ignore-existing --min-size=1 --exclude='.*' --exclude='/studies-index.json' \
    --exclude='/worklist/leases.json' "${folder%/}/" "$copy/"
done
