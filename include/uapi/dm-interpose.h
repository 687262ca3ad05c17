/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * dm-interpose: what the module and user space share.
 *
 *   user space --- table line, message ---> target --- status line, answer ---> user space
 *                                             |
 *                                             `---- on-disk header of a store ---> user space
 *
 * Everything goes through device-mapper's own ioctls, so that dmsetup(8) and libdevmapper can do all
 * of it.  Words: an *origin* is one live device below which the module keeps old data and tracks
 * changes; a *point* is an instant of an origin, either a *snapshot* (keeps old data) or a
 * *checkpoint* (only tracks); a *generation* is a random uuid the module draws when an origin comes
 * into being; a point is named for good by (generation, id): ids rise by one and are never reused.
 *
 * Units: a position or length is in 512-byte sectors unless its name says otherwise.  A number is
 * decimal.  A uuid is 36 characters, lower case.  A text field that is empty is printed as "-".
 * Lines grow only at their end: a reader skips fields it does not know.
 *
 * Version: the targets' version (DM_LIST_VERSIONS, DM_GET_TARGET_VERSION) is
 * INTERPOSE_INTERFACE . MINOR . PATCH.  INTERPOSE_INTERFACE rises when a reader or a writer of the
 * lines below must change; it is also the first field of every status line, and the first three fields
 * of each status line keep their meaning in every interface.
 */
#ifndef _UAPI_DM_INTERPOSE_H
#define _UAPI_DM_INTERPOSE_H

#include <linux/types.h>

#define INTERPOSE_INTERFACE 1
#define INTERPOSE_VERSION_MINOR 0
#define INTERPOSE_VERSION_PATCH 0

#define INTERPOSE_TARGET "interpose"
#define INTERPOSE_TARGET_BASE "interpose-base"
#define INTERPOSE_TARGET_STORE "interpose-store"
#define INTERPOSE_TARGET_IMAGE "interpose-image"

/* Chunk: the unit of tracking and copying, a power of two. */
#define INTERPOSE_CHUNK_SECTORS_MIN 8 /* 4 KiB */
#define INTERPOSE_CHUNK_SECTORS_MAX 2048 /* 1 MiB */
#define INTERPOSE_CHUNK_SECTORS_DEFAULT 32 /* 16 KiB */

/* Points of one origin alive at one time, snapshots and checkpoints together. */
#define INTERPOSE_POINTS_MAX 1024
/* Longest name of a point, without its NUL: [A-Za-z0-9+_.-], not starting with '-', not "." or "..". */
#define INTERPOSE_NAME_MAX 127
/* Bytes of user data a point carries. */
#define INTERPOSE_DATA_MAX 256
/*
 * Longest list of tags of a point, commas included, without its NUL.  A tag: [A-Za-z0-9_+.-/=!:&#], not starting
 * with '-'; a list may not be "=" alone.
 */
#define INTERPOSE_TAGS_MAX 255
/* Devices whose filesystems are frozen for one point. */
#define INTERPOSE_FREEZE_MAX 32
/* Origins that take one point together. */
#define INTERPOSE_SET_MAX 16
/* How long freezing and draining may take together. */
#define INTERPOSE_DEADLINE_MS_DEFAULT 10000
#define INTERPOSE_DEADLINE_MS_MAX 600000

/*
 * Target "interpose": the live device.
 *
 *   <start> <length> interpose <base device> <base sector> <origin uuid> <chunk sectors> [provisional]
 *
 * "provisional" says that the device was attached for the sake of a first point: while <last id> is 0, whoever
 * finds it after a crash takes it off again.  The module repeats the word in TABLE and does nothing with it.
 *
 * The table of the live device is this one line, from sector 0.  A table that names the uuid of the
 * origin that is active on the same device takes it over with all its points when it is resumed; EBUSY for
 * another device, while the device is suspended, if chunk or logical block differ, if it is shorter, or if the
 * origin has a hook.
 * A longer one makes the origin grow: what it grows by counts as changed in every epoch, and
 * images keep the length of their point.
 *
 * INFO: <interface> <generation> <state> <last id> <points> <snapshots> <invalid snapshots>
 *       <store uuid>|- <chunk sectors> <copy bytes>/<copy budget> <map bytes>/<map bound>
 *       <index bytes>/<index bound> <waiting writes> <chunks copied> <failure>|- <live device>|-
 *
 * <state> is INTERPOSE_STATE_*.  <snapshots> counts the valid ones.  <last id> is the id of the newest point ever taken, 0 if none.
 * <failure> is one of INTERPOSE_FAILURE_*, the latest cause that made snapshots of this origin
 * invalid; it goes when the last invalid one has been dropped.  <live device> is the "major:minor" whose writes the
 * origin sees by the message "hook"; "-": those of the table's own device.
 */
#define INTERPOSE_OPT_PROVISIONAL "provisional"

#define INTERPOSE_STATE_ACTIVE "active"
#define INTERPOSE_STATE_SUSPENDED \
	"suspended" /* this table does not take the device's writes (yet) */
#define INTERPOSE_STATE_LOST "lost" /* another table came between: detach, and attach anew */

#define INTERPOSE_FAILURE_STORE_FULL "store-full"
#define INTERPOSE_FAILURE_STORE_ERROR "store-error"
#define INTERPOSE_FAILURE_STORE_REMOVED "store-removed"
#define INTERPOSE_FAILURE_STORE_OVERWRITTEN "store-overwritten" /* by the origin it lies in */
#define INTERPOSE_FAILURE_READ_ERROR "read-error" /* old data could not be read from the base */
#define INTERPOSE_FAILURE_NO_MEMORY "no-memory"
#define INTERPOSE_FAILURE_DETACHED "detached" /* the device's table was swapped for another */

/*
 * Messages to "interpose".  A message that changes something may be repeated: the same words have
 * the same answer, and nothing is done twice.  Answers are text; long ones are paged, each page ends
 * before the buffer does, and its first line names where the next page starts, "-" on the last one; ENOBUFS if
 * there is no room for one line.
 *
 * hook <deadline ms> <freeze list>|-
 *     From now on the writes of the live device below the base, which must be an "interpose-base" of the same length, meet
 *     this origin.  Filesystems of the list are frozen meanwhile, as with take, and writes that came before end.  EBUSY: the
 *     live device overlaps one that has a hook, points have been taken, or the device is suspended; EINVAL: the base is no
 *     "interpose-base" of that length; ENODEV: a device is
 *     gone; EOPNOTSUPP: CONFIG_DYNAMIC_FTRACE is missing, the kernel is PREEMPT_RT, or sysctl kernel.ftrace_enabled is 0; ETIMEDOUT, ECANCELED as with take;
 *     ESTALE: the origin was lost meanwhile, or the base is being suspended; ENOMEM.  No answer.
 * unhook <deadline ms>
 *     They go as they did before, and the origin's points end: its state is INTERPOSE_STATE_LOST.  The table's device, which
 *     such writes may be in, can be removed as soon as they have come back, which is waited for.  ETIMEDOUT: writes under
 *     way do not end, nothing was done.  No answer.
 * store <store uuid> [<inside>]
 *     Keeps the old data of snapshots taken from now on in that store (an active interpose-store).  <inside>,
 *     "<first sector>+<sectors>,...", is where in the origin the store lies, if it does, in whole chunks: a file
 *     of the filesystem that is there, whose blocks it neither writes nor moves.  Images show zeros there.  A write to there
 *     makes the snapshots invalid and the store fail, and goes on when nothing is under way to the store; so does a discard, which
 *     is dropped if anything is.
 *     EBUSY while a valid snapshot or an image needs another store, or old data is still on its way to that one; ENODEV: no such store; EINVAL: the origin's
 *     chunk is no multiple of the store's granule, the store's logical block is larger than the
 *     origin's, the store lies on the origin, its base or the device it hooks, or <inside> makes no sense; EIO: the store has failed; ENOMEM.  No answer.
 * unstore
 *     Lets go of the store.  EBUSY while a valid snapshot or an image needs it, or old data is still on its way to it.
 *     No answer.
 * take <point uuid> <kind> <name> <data>|- <deadline ms> <freeze list>|- [<tags>|- [<member>...]]
 *     Takes a point.  <kind> is INTERPOSE_KIND_*, <data> up to INTERPOSE_DATA_MAX bytes in hex,
 *     <freeze list> devices "major:minor,..." whose filesystems are frozen meanwhile, top first; one that somebody
 *     else has frozen is used as it is and left frozen.  <tags> are separated by commas: INTERPOSE_TAGS_MAX.
 *     Each <member>, "<origin uuid>/<point uuid>/<freeze list>|-", is a further origin that takes the same point: all of
 *     a set do at one instant, or none does.  Of members that lie upon each other the upper one comes first.
 *     Answer: "<generation> <id> <consistency>", a line for each of the set, consistency being INTERPOSE_CONSISTENCY_*.
 *     EEXIST: another point has that name; ETIMEDOUT: frozen or drained too slowly, nothing was taken;
 *     ENODEV: a snapshot, and no store; ENOLINK: the base is an "interpose-base", and there is no hook;
 *     EIO: the store has failed; EBUSY: the device is
 *     suspended, or suspends; EINTR: killed, the point may be taken (the same uuid asks); ECANCELED: a
 *     device of the freeze list cannot be opened or frozen, and nothing was taken; ENOSPC: INTERPOSE_POINTS_MAX reached;
 *     ENXIO: no origin of a member's uuid is in a table; ESTALE: an origin is lost, or a set of that uuid was taken and
 *     is no longer complete;
 *     ENOMEM.  The kernel's log names the device of a freeze list that cannot be frozen, or not in time, and the origin of
 *     a set that cannot take its point.
 * drop <generation> <id> [<selected>...]
 *     Removes a point; what changed after it is from now on credited to the point before it.
 *     Each <selected>, "<origin uuid>/<generation>/<id>", is the point of a further origin that goes with it: all of them do
 *     in one step, or none does.
 *     EBUSY while an image of one exists, or a point is being taken for too long.  ESTALE: another generation, or an origin is
 *     lost; ENOENT: no such point (a drop repeated has this answer); ENXIO: no such further origin; EINVAL: words that make
 *     no sense, an origin named twice, more than INTERPOSE_SET_MAX; EINTR: killed.  Nothing was done then, and the kernel's log
 *     names the origin of a set.  No answer.
 * release <generation> <id> [<selected>...]
 *     Turns snapshots into checkpoints: their old data goes, the points stay.  Errors as with drop.
 *     No error of those that are checkpoints already.  No answer.
 * change <generation> <id> <name>|= <tags>|-|= <data>|-|= [<selected>...]
 *     Gives points another name, other tags and other data, all in one step; "=" leaves what there is.
 *     EEXIST: another point has that name; the others as with drop.  No answer.
 * points <first id>
 *     Answer: "<generation> <next id>|-", then one line a point, oldest first:
 *     "<id> <kind> <validity> <unix time> <point uuid> <consistency> <images> <name> <data>|- <tags>|- <sectors> <set uuid>|-"
 *     with validity INTERPOSE_VALIDITY_* (a checkpoint is always valid), <images> the number of image tables there
 *     are, <sectors> the length that the origin had, <set uuid> the same for all of a set.
 * changed <generation> <since id> <until id>|now <first sector>
 *     What was perhaps written between two points (never less than what was, seldom more).
 *     Answer: "<generation> <next sector>|-", then one line a run, ascending: "<sector> <sectors>".
 *     ESTALE: another generation; ENOENT: no such point; EINVAL: since is not before until.
 *     Runs are whole chunks (the last one may end with the device).
 */
#define INTERPOSE_MSG_HOOK "hook"
#define INTERPOSE_MSG_UNHOOK "unhook"
#define INTERPOSE_MSG_STORE "store"
#define INTERPOSE_MSG_UNSTORE "unstore"
#define INTERPOSE_MSG_TAKE "take"
#define INTERPOSE_MSG_DROP "drop"
#define INTERPOSE_MSG_RELEASE "release"
#define INTERPOSE_MSG_CHANGE "change"
#define INTERPOSE_MSG_POINTS "points"
#define INTERPOSE_MSG_CHANGED "changed"

#define INTERPOSE_KIND_SNAPSHOT "snapshot"
#define INTERPOSE_KIND_CHECKPOINT "checkpoint"
#define INTERPOSE_CONSISTENCY_FS "fs" /* every device of the freeze list was frozen */
#define INTERPOSE_CONSISTENCY_CRASH "crash" /* as after a power cut */
#define INTERPOSE_VALIDITY_VALID "valid"
#define INTERPOSE_VALIDITY_INVALID "invalid"
#define INTERPOSE_NOW "now"
#define INTERPOSE_NONE "-"
#define INTERPOSE_KEEP "=" /* in "change": leave it as it is */

/*
 * Target "interpose-base": a live device below its interposer, past the hook.  It may be mounted or in use otherwise.
 *
 *   0 <length> interpose-base <live device> <first sector>
 *
 * <live device> is "major:minor".
 * INFO: <interface> <endpoint>|-
 *
 * Messages:
 *
 * redirect <endpoint> <deadline ms> <freeze list>|-
 *     From now on all bios of the live device go to the device <endpoint>, "major:minor", which is as long.  It must map the
 *     base one to one just now; whatever table it gets later stands on the base.  Filesystems of the list are frozen
 *     meanwhile, as with take, and writes that came before end.  EBUSY: the live device overlaps one that has a hook or
 *     another endpoint; EINVAL: another length, or words that make no sense; ENODEV, EOPNOTSUPP, ETIMEDOUT, ECANCELED, ESTALE,
 *     ENOMEM as with hook.  No answer.
 * direct <deadline ms>
 *     They go as they did before.  The endpoint, which must map the base one to one again, can be removed as soon as those in
 *     it have come back, which is waited for, up to the deadline.  No answer.
 */
#define INTERPOSE_MSG_REDIRECT "redirect"
#define INTERPOSE_MSG_DIRECT "direct"

/*
 * Target "interpose-image": a block device that shows an origin as it was at a snapshot; read-only.
 *
 *   0 <length of the origin at the snapshot> interpose-image <origin uuid> <generation> <id>
 *
 * Its base is the origin's at the time the table is loaded.
 * INFO: <interface> <generation> <validity> <id> <failure>|-
 * A read of an invalid image fails (EIO), also one that began while it was valid.  While the origin's device is
 * suspended a read waits, as one of that device does; it fails if another table than the origin's is resumed.
 *
 * Target "interpose-store": holds a store open, takes no I/O itself.
 *
 *   0 <length> interpose-store <device> <first sector>
 *
 * It serves from the load of its table to that table's end; its table cannot be replaced by another of the same
 * store.  The device must hold a valid struct interpose_store_header.  INFO: <interface> <store uuid> <state> <used
 * sectors>/<usable sectors> <origins> <exceptions> <index bytes>/<index bound>, state being
 * INTERPOSE_STORE_*.
 */
#define INTERPOSE_STORE_OK "ok"
#define INTERPOSE_STORE_FAILED "failed" /* for good: an I/O error; replace the device */

/*
 * On disk: the first block of a store, little endian; written by user space, read by both.  Data begins
 * at INTERPOSE_STORE_DATA_SECTOR.  Exceptions are volatile: what lies behind the header means nothing after
 * the store has been closed.
 */
#define INTERPOSE_STORE_MAGIC "dmsnapST" /* 8 bytes, no NUL */
#define INTERPOSE_STORE_FORMAT 1
#define INTERPOSE_STORE_HEADER_BYTES 4096
#define INTERPOSE_STORE_DATA_SECTOR 2048 /* 1 MiB */
#define INTERPOSE_STORE_SECTORS_MIN 8192 /* 4 MiB */

struct interpose_store_header {
	__u8 magic[8]; /* INTERPOSE_STORE_MAGIC */
	__le32 format; /* INTERPOSE_STORE_FORMAT */
	__le32 checksum; /* CRC-32C (RFC 3720, B.4) of the 4096 bytes with this field 0 */
	__u8 uuid[16]; /* RFC 4122 byte order */
	__le64 created; /* seconds since 1970 */
	__le64 sectors; /* length of the store with its header; at most the device's */
	__le32 granule_sectors; /* unit of allocation, as a chunk; every origin's chunk is a multiple */
	__u8 reserved[INTERPOSE_STORE_HEADER_BYTES - 52]; /* zero */
};

#endif /* _UAPI_DM_INTERPOSE_H */
