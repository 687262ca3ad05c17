/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * The store: where old chunks go.  Everything an origin and an image know of a store is in this file,
 * so that another engine is another dm-interpose-store.c.
 *
 *   interpose-store target --- interpose_store ---- block device
 *                                   |
 *   origin --- interpose_shelf -----'      one origin's exceptions in one store
 *
 * Use: bind a shelf; for each run of chunks reserve, then keep (or cancel); find; sweep when snapshots
 * went; unbind.  At most one thread reserves on a shelf at a time.  find may overlap everything but
 * unbind.
 */
#ifndef DM_INTERPOSE_STORE_H
#define DM_INTERPOSE_STORE_H

#include <linux/device-mapper.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>

#include "dm-interpose-chunk.h"

struct exception;
struct interpose_store;
struct interpose_shelf;

/* A run of chunks on its way into the store; the caller's, until done() is called. */
struct interpose_keep {
	chunk_t chunk; /* caller: the first */
	unsigned int chunks; /* caller: how many; reserve may lower it */
	unsigned int
		sectors; /* caller, after reserve: of data in pages; the last chunk may be short */
	u64 birth; /* caller */
	struct page **pages; /* caller: the data, until done() */
	void (*done)(struct interpose_keep *keep,
		     int error); /* caller; process context, may not sleep long */

	/* the store's */
	struct interpose_shelf *shelf;
	struct work_struct work;
	struct exception *entries;
	u64 slot;
	int error;
};

/* Where a kept chunk lies. */
struct interpose_place {
	struct block_device *bdev;
	sector_t sector;
};

struct interpose_store_status {
	uuid_t uuid;
	bool failed;
	u64 used, usable; /* sectors */
	unsigned int origins;
	u64 exceptions;
	u64 index_bytes, index_bound;
};

int interpose_store_init(void);
void interpose_store_exit(void);

/**
 * interpose_store_open() - make a store of a device, and known by its uuid
 * @ti: its length is the store's; its table gets the events; its error is set on failure
 * @dev: opened by the caller, who closes it after interpose_store_close()
 * @start: its first sector, where the header is
 * Context: sleeps, reads the header.
 * Return: the store or an ERR_PTR: EINVAL no valid header, EEXIST uuid in use, EIO, ENOMEM.
 */
struct interpose_store *interpose_store_open(struct dm_target *ti, struct dm_dev *dev,
					     sector_t start);

/**
 * interpose_store_close() - the device goes away
 * Tells every shelf's owner by lost(), waits for what is being written, and forgets the device.
 * Shelves stay bound, find nothing and keep nothing.
 * Context: sleeps.
 */
void interpose_store_close(struct interpose_store *store);

void interpose_store_status(struct interpose_store *store, struct interpose_store_status *status);

/**
 * interpose_shelf_bind() - a place for one origin's exceptions
 * @uuid: of an open store
 * @chunk_shift: log2 of the sectors of the origin's chunk
 * @block_bytes: the origin's logical block: an image reads such blocks from the store too
 * @lost: called with @owner when the store has failed (-EIO) or goes away (-ENODEV), perhaps more than once; may not
 *        call the store
 * Context: sleeps.
 * Return: the shelf, or an ERR_PTR: ENODEV no such store, EINVAL granule or logical block too large, EIO failed store, ENOMEM.
 */
struct interpose_shelf *interpose_shelf_bind(const uuid_t *uuid, unsigned int chunk_shift,
					     unsigned int block_bytes,
					     void (*lost)(void *owner, int error), void *owner);

/* Forgets all exceptions.  Nothing may be under way.  Context: sleeps. */
void interpose_shelf_unbind(struct interpose_shelf *shelf);

const uuid_t *interpose_shelf_store_uuid(const struct interpose_shelf *shelf);
dev_t interpose_shelf_device(const struct interpose_shelf *shelf);
void interpose_shelf_status(struct interpose_shelf *shelf, u64 *index_bytes, u64 *index_bound);

/**
 * interpose_shelf_ready() - whether snapshots can be kept there
 * Return: 0, ENODEV (the store is gone) or EIO (it has failed), negative.
 */
int interpose_shelf_ready(struct interpose_shelf *shelf);

/**
 * interpose_shelf_fail() - the store's place has become somebody else's: nothing is kept there any more
 * What is under way goes on.
 * Context: any.
 */
void interpose_shelf_fail(struct interpose_shelf *shelf);

/**
 * interpose_shelf_queue() - have work done that submits I/O to the store, and may wait there for the device
 * Context: any.
 */
void interpose_shelf_queue(struct interpose_shelf *shelf, struct work_struct *work);

/**
 * interpose_shelf_reserve() - room and index entries for a run
 * Context: worker; may sleep for the allocator's mutex, never waits for I/O.
 * Return: 0 with keep->chunks >= 1 of them reserved, -ENOSPC, -EIO, -ENODEV or -ENOMEM with nothing.
 */
int interpose_shelf_reserve(struct interpose_shelf *shelf, struct interpose_keep *keep);

/* Gives back what was reserved and is not kept.  Context: worker. */
void interpose_shelf_cancel(struct interpose_keep *keep);

/**
 * interpose_shelf_keep() - write the run; when done() is called with 0, find sees it
 * What was reserved is used up, or given back if done() gets an error.
 * Context: work of interpose_shelf_queue(); may wait for the device.
 */
void interpose_shelf_keep(struct interpose_keep *keep);

/**
 * interpose_shelf_find() - what snapshot @id reads of @chunk
 * Context: any, also interrupts.
 * Return: false: the base.
 */
bool interpose_shelf_find(struct interpose_shelf *shelf, chunk_t chunk, u64 id,
			  struct interpose_place *place);

/**
 * interpose_shelf_sweep() - free what no living snapshot reads
 * @living: their ids
 * Context: sleeps; one at a time.
 */
void interpose_shelf_sweep(struct interpose_shelf *shelf, const u64 *living,
			   unsigned int nr_living);

#endif /* DM_INTERPOSE_STORE_H */
