# Updates the folder of a project's synced files, which is the argument. Standard input has the sizes of the following
# parts in a line: deleted paths, an archive to unpack, and an archive of files that keep their inode.
set -e
cd "$1"
read -r deleted unpacked overwritten
head --bytes "$deleted" | xargs --null --no-run-if-empty rm --recursive --force --
unpack="tar --extract --touch --same-owner --numeric-owner --same-permissions"
head --bytes "$unpacked" | $unpack
head --bytes "$overwritten" | $unpack --overwrite
