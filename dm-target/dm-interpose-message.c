// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Messages to the target interpose: words to calls, answers to text.  The grammar is in the uapi header.
 *
 * A page of an answer is written behind room for its first line, which is known only at the end.
 */
#include <linux/ctype.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "dm-interpose.h"

/* "<uuid> <20 digits>\n": the first line of a page. */
#define PAGE_HEAD (UUID_STRING_LEN + 1 + 20 + 1)
/* The longest line of "points": numbers, uuid, words, name, data in hex, tags, length, the set. */
#define POINT_LINE                                                                  \
	(20 + 11 + 8 + 21 + UUID_STRING_LEN + 1 + 6 + 11 + INTERPOSE_NAME_MAX + 1 + \
	 2 * INTERPOSE_DATA_MAX + 1 + INTERPOSE_TAGS_MAX + 1 + 20 + 1 + UUID_STRING_LEN + 2)
#define RUN_LINE (2 * 21 + 1)
/* Without the members. */
#define POINT_ARGS 2
#define CHANGE_ARGS 5
#define TAKE_ARGS 7
#define MESSAGE_ARGS_MAX (TAKE_ARGS + INTERPOSE_SET_MAX - 1)
/* Leaves of the maps looked at for one page of "changed": 32768 chunks each. */
#define CHANGED_LEAVES 1024UL

struct answer {
	char *text;
	unsigned int size; /* bytes there are */
	unsigned int used;
};

struct message {
	const char *name;
	unsigned int args; /* behind the name, at least */
	unsigned int args_max;
	int (*run)(struct interpose *ip, char **args,
		   struct answer *answer); /* args: NULL where there is none */
};

static __printf(2, 3) void answer_add(struct answer *answer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	answer->used +=
		vscnprintf(answer->text + answer->used, answer->size - answer->used, format, args);
	va_end(args);
}

static bool answer_has_room(const struct answer *answer, unsigned int bytes)
{
	return answer->used + bytes + 1 < answer->size;
}

static void page_begin(struct answer *answer)
{
	answer->used = PAGE_HEAD;
}

/* @next: where the next page starts, 0 if this is the last. */
static int page_end(struct interpose *ip, struct answer *answer, u64 next)
{
	char head[PAGE_HEAD + 1];
	int bytes;

	if (next)
		bytes = scnprintf(head, sizeof(head), "%pUb %llu\n", &ip->origin->generation, next);
	else
		bytes = scnprintf(head, sizeof(head), "%pUb " INTERPOSE_NONE "\n",
				  &ip->origin->generation);
	answer->text[answer->used] = '\0';
	memmove(answer->text + bytes, answer->text + PAGE_HEAD, answer->used - PAGE_HEAD + 1);
	memcpy(answer->text, head, bytes);
	return 1;
}

/* Words */

static int parse_number(const char *word, u64 *number)
{
	return kstrtou64(word, 10, number) ? -EINVAL : 0;
}

static int parse_uuid(const char *word, uuid_t *uuid)
{
	return strlen(word) == UUID_STRING_LEN && !uuid_parse(word, uuid) ? 0 : -EINVAL;
}

static int parse_generation(const struct interpose_origin *origin, const char *word)
{
	uuid_t uuid;

	if (parse_uuid(word, &uuid))
		return -EINVAL;
	return uuid_equal(&uuid, &origin->generation) ? 0 : -ESTALE;
}

static int parse_point(const struct interpose_origin *origin, char **args, u64 *id)
{
	int r = parse_generation(origin, args[0]);

	return r ?: parse_number(args[1], id);
}

/* The origin of that uuid joins @set, which may hold it also after an error. */
static int parse_origin(const char *word, struct interpose_set *set)
{
	struct interpose_origin *origin;
	unsigned int i;
	uuid_t uuid;

	if (parse_uuid(word, &uuid))
		return -EINVAL;
	origin = interpose_origin_lookup(&uuid);
	if (!origin)
		return -ENXIO;
	set->origins[set->nr++] = origin;
	for (i = 0; i + 1 < set->nr; i++)
		if (set->origins[i] == origin)
			return -EINVAL;
	return 0;
}

/* "<origin uuid>/<generation>/<id>"; @word is written to. */
static int parse_selected(char *word, struct interpose_selection *selection)
{
	struct interpose_set *set = &selection->set;
	const char *origin_word = strsep(&word, "/");
	char *point[POINT_ARGS];
	int r;

	point[0] = strsep(&word, "/");
	point[1] = word;
	if (!word)
		return -EINVAL;
	r = parse_origin(origin_word, set);
	return r ?: parse_point(set->origins[set->nr - 1], point, &selection->ids[set->nr - 1]);
}

/* A point of @ip and @members, up to a NULL; @selection is to be put, also after an error. */
static int parse_selection(struct interpose *ip, char **args, char **members,
			   struct interpose_selection *selection)
{
	int r = parse_point(ip->origin, args, &selection->ids[0]);

	selection->set.origins[0] = interpose_origin_ref(ip->origin);
	selection->set.nr = 1;
	for (; !r && *members; members++)
		r = parse_selected(*members, selection);
	return r;
}

static int parse_kind(const char *word, bool *snapshot)
{
	*snapshot = !strcmp(word, INTERPOSE_KIND_SNAPSHOT);
	return *snapshot || !strcmp(word, INTERPOSE_KIND_CHECKPOINT) ? 0 : -EINVAL;
}

static bool is_alnum_or(char c, const char *others)
{
	return isascii(c) && (isalnum(c) || strchr(others, c));
}

static int parse_name(const char *word, struct interpose_label *label)
{
	const char *c;

	if (!*word || *word == '-' || !strcmp(word, ".") || !strcmp(word, ".."))
		return -EINVAL;
	for (c = word; *c; c++)
		if (!is_alnum_or(*c, "+_.-"))
			return -EINVAL;
	return strscpy(label->name, word, sizeof(label->name)) < 0 ? -EINVAL : 0;
}

static int parse_tags(const char *word, struct interpose_label *label)
{
	bool begins = true;
	const char *c;

	label->tags[0] = '\0';
	if (!strcmp(word, INTERPOSE_NONE))
		return 0;
	if (!strcmp(word, INTERPOSE_KEEP))
		return -EINVAL;
	for (c = word; *c; c++) {
		if (*c == ',' ? begins : !is_alnum_or(*c, begins ? "_+./=!:&#" : "_+.-/=!:&#"))
			return -EINVAL;
		begins = *c == ',';
	}
	if (begins)
		return -EINVAL;
	return strscpy(label->tags, word, sizeof(label->tags)) < 0 ? -EINVAL : 0;
}

static int parse_data(const char *word, struct interpose_label *label)
{
	size_t digits = strlen(word);

	label->data_bytes = 0;
	if (!strcmp(word, INTERPOSE_NONE))
		return 0;
	if (!digits || digits % 2 || digits / 2 > INTERPOSE_DATA_MAX)
		return -EINVAL;
	label->data_bytes = digits / 2;
	return hex2bin(label->data, word, label->data_bytes);
}

/* Milliseconds. */
int interpose_parse_deadline(const char *word, unsigned int *ms)
{
	u64 number;

	if (parse_number(word, &number) || !number || number > INTERPOSE_DEADLINE_MS_MAX)
		return -EINVAL;
	*ms = number;
	return 0;
}

/* "major:minor"; @word is written to. */
int interpose_parse_dev(char *word, dev_t *dev)
{
	const char *major_word = strsep(&word, ":");
	u64 major, minor;

	if (!word || parse_number(major_word, &major) || parse_number(word, &minor))
		return -EINVAL;
	if (major >> (32 - MINORBITS) || minor >> MINORBITS)
		return -EINVAL;
	*dev = MKDEV(major, minor);
	return 0;
}

/* Return: where @dev stands in @list, or -EINVAL: there is no room for it. */
static int freeze_list_add(struct interpose_freeze_list *list, dev_t dev)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->dev[i] == dev)
			return i;
	if (i == INTERPOSE_FREEZE_MAX)
		return -EINVAL;
	list->dev[list->nr++] = dev;
	return i;
}

/* Adds to @list what is not in it yet; @mask: where the devices stand in it. */
static int parse_freeze(char *word, struct interpose_freeze_list *list, u32 *mask)
{
	char *dev_word;

	*mask = 0;
	if (!strcmp(word, INTERPOSE_NONE))
		return 0;
	while ((dev_word = strsep(&word, ","))) {
		dev_t dev;
		int i = interpose_parse_dev(dev_word, &dev);

		if (!i)
			i = freeze_list_add(list, dev);
		if (i < 0)
			return i;
		*mask |= 1U << i;
	}
	return 0;
}

/* "<deadline ms>", "<freeze list>|-"; the words are written to. */
int interpose_parse_hook(char **args, struct interpose_hook_request *request)
{
	int r = interpose_parse_deadline(args[0], &request->deadline_ms);
	u32 all;

	request->freeze.nr = 0;
	return r ?: parse_freeze(args[1], &request->freeze, &all);
}

/* "<origin uuid>/<point uuid>/<freeze list>|-"; @word is written to. */
static int parse_member(char *word, struct interpose_take_request *request)
{
	struct interpose_member *member = &request->members[request->set.nr];
	const char *origin_word = strsep(&word, "/");
	const char *point_word = strsep(&word, "/");
	int r;

	if (!word)
		return -EINVAL;
	r = parse_uuid(point_word, &member->uuid);
	r = r ?: parse_freeze(word, &request->freeze, &member->freeze);
	return r ?: parse_origin(origin_word, &request->set);
}

/* The set of @request is to be put, also after an error. */
static int parse_take(struct interpose *ip, char **args, struct interpose_take_request *request)
{
	struct interpose_member *first = &request->members[0];
	char **word;
	int r;

	request->set.origins[0] = interpose_origin_ref(ip->origin);
	request->set.nr = 1;
	r = parse_uuid(args[0], &first->uuid);
	r = r ?: parse_kind(args[1], &request->snapshot);
	r = r ?: parse_name(args[2], &request->label);
	r = r ?: parse_data(args[3], &request->label);
	r = r ?: interpose_parse_deadline(args[4], &request->deadline_ms);
	r = r ?: parse_freeze(args[5], &request->freeze, &first->freeze);
	if (args[6])
		r = r ?: parse_tags(args[6], &request->label);
	for (word = args + TAKE_ARGS; !r && *word; word++)
		r = parse_member(*word, request);
	return r;
}

static int parse_change(char **args, struct interpose_change_request *request)
{
	int r = 0;

	request->keep_name = !strcmp(args[2], INTERPOSE_KEEP);
	request->keep_tags = !strcmp(args[3], INTERPOSE_KEEP);
	request->keep_data = !strcmp(args[4], INTERPOSE_KEEP);
	if (!request->keep_name)
		r = parse_name(args[2], &request->label);
	if (!r && !request->keep_tags)
		r = parse_tags(args[3], &request->label);
	if (!r && !request->keep_data)
		r = parse_data(args[4], &request->label);
	return r;
}

/* "<first sector>+<sectors>": whole chunks of the origin; @word is written to. */
static int parse_chunks(const struct interpose_origin *origin, char *word,
			struct chunk_range *range)
{
	u64 length = READ_ONCE(origin->length), first, sectors;
	const char *first_word = strsep(&word, "+");

	if (!word || parse_number(first_word, &first) || parse_number(word, &sectors))
		return -EINVAL;
	if (!sectors || first >= length || sectors > length - first)
		return -EINVAL;
	if ((first | sectors) & ((1ULL << origin->chunk_shift) - 1))
		return -EINVAL;
	*range = chunks_touched(first, sectors, origin->chunk_shift);
	return 0;
}

/* "<first sector>+<sectors>,..."; @word is written to. */
static int parse_inside(const struct interpose_origin *origin, char *word,
			struct interpose_map *inside)
{
	char *chunks;

	while ((chunks = strsep(&word, ","))) {
		struct chunk_range range;
		int r = parse_chunks(origin, chunks, &range);

		if (r)
			return r;
		interpose_map_set(inside, range, MAP_FALLBACK_CLEAR, GFP_KERNEL);
		if (!interpose_map_test(inside, range))
			return -ENOMEM;
	}
	return 0;
}

/* store <store uuid> [<inside>] */
static int message_store(struct interpose *ip, char **args, struct answer *answer)
{
	struct interpose_origin *origin = ip->origin;
	struct interpose_map *inside = NULL;
	uuid_t uuid;
	int r;

	if (parse_uuid(args[0], &uuid))
		return -EINVAL;
	r = interpose_origin_await_copies(origin);
	if (r)
		return r;
	mutex_lock(&origin->change);
	if (args[1]) {
		inside = interpose_map_create(origin->chunks);
		r = inside ? parse_inside(origin, args[1], inside) : -ENOMEM;
	}
	r = r ?: interpose_origin_set_store(ip, &uuid, &inside);
	mutex_unlock(&origin->change);
	interpose_map_destroy(inside);
	if (!r)
		interpose_origin_event(origin);
	return r;
}

/* unstore */
static int message_unstore(struct interpose *ip, char **args, struct answer *answer)
{
	int r = interpose_origin_await_copies(ip->origin);

	if (r)
		return r;
	mutex_lock(&ip->origin->change);
	r = interpose_origin_unset_store(ip->origin);
	mutex_unlock(&ip->origin->change);
	if (!r)
		interpose_origin_event(ip->origin);
	return r;
}

static void answer_members(struct answer *answer, const struct interpose_take_request *request)
{
	unsigned int i;

	for (i = 0; i < request->set.nr; i++) {
		const struct interpose_member *member = &request->members[i];

		answer_add(answer, "%s%pUb %llu %s", i ? "\n" : "",
			   &request->set.origins[i]->generation, member->id,
			   member->fs_consistent ? INTERPOSE_CONSISTENCY_FS
						 : INTERPOSE_CONSISTENCY_CRASH);
	}
}

/* take <point uuid> <kind> <name> <data>|- <deadline ms> <freeze list>|- [<tags>|- [<member>...]] */
static int message_take(struct interpose *ip, char **args, struct answer *answer)
{
	struct interpose_take_request *request = kzalloc(sizeof(*request), GFP_KERNEL);
	int r;

	if (!request)
		return -ENOMEM;
	r = parse_take(ip, args, request);
	r = r ?: interpose_take(request);
	if (!r)
		answer_members(answer, request);
	interpose_set_put(&request->set);
	kfree(request);
	return r ?: 1;
}

/* hook <deadline ms> <freeze list>|- */
static int message_hook(struct interpose *ip, char **args, struct answer *answer)
{
	struct interpose_hook_request request;
	int r = interpose_parse_hook(args, &request);

	r = r ?: interpose_hook(ip, &request);
	if (!r)
		interpose_origin_event(ip->origin);
	return r;
}

/* unhook <deadline ms> */
static int message_unhook(struct interpose *ip, char **args, struct answer *answer)
{
	unsigned int deadline_ms;
	int r = interpose_parse_deadline(args[0], &deadline_ms);

	return r ?: interpose_unhook(ip->origin, deadline_ms);
}

/* drop <generation> <id> [<selected>...] */
static int message_drop(struct interpose *ip, char **args, struct answer *answer)
{
	struct interpose_selection selection;
	int r = parse_selection(ip, args, args + POINT_ARGS, &selection);

	r = r ?: interpose_drop(&selection);
	interpose_set_put(&selection.set);
	return r;
}

/* release <generation> <id> [<selected>...] */
static int message_release(struct interpose *ip, char **args, struct answer *answer)
{
	struct interpose_selection selection;
	int r = parse_selection(ip, args, args + POINT_ARGS, &selection);

	r = r ?: interpose_release(&selection);
	interpose_set_put(&selection.set);
	return r;
}

/* change <generation> <id> <name>|= <tags>|-|= <data>|-|= [<selected>...] */
static int message_change(struct interpose *ip, char **args, struct answer *answer)
{
	struct interpose_change_request *request = kzalloc(sizeof(*request), GFP_KERNEL);
	struct interpose_selection selection;
	int r;

	if (!request)
		return -ENOMEM;
	r = parse_selection(ip, args, args + CHANGE_ARGS, &selection);
	r = r ?: parse_change(args, request);
	r = r ?: interpose_change(&selection, request);
	interpose_set_put(&selection.set);
	kfree(request);
	return r;
}

static void answer_point(struct answer *answer, struct interpose_origin *origin,
			 const struct interpose_point *point)
{
	const struct interpose_label *label = &point->label;
	bool valid = !point->snapshot || interpose_snapshot_valid(origin, point->id);

	answer_add(answer, "%llu %s %s %lld %pUb %s %u %s ", point->id,
		   point->snapshot ? INTERPOSE_KIND_SNAPSHOT : INTERPOSE_KIND_CHECKPOINT,
		   valid ? INTERPOSE_VALIDITY_VALID : INTERPOSE_VALIDITY_INVALID, point->time,
		   &point->uuid,
		   point->fs_consistent ? INTERPOSE_CONSISTENCY_FS : INTERPOSE_CONSISTENCY_CRASH,
		   point->images, label->name);
	if (!label->data_bytes)
		answer_add(answer, INTERPOSE_NONE);
	for (unsigned int i = 0; i < label->data_bytes; i++)
		answer_add(answer, "%02x", label->data[i]);
	answer_add(answer, " %s %llu ", *label->tags ? label->tags : INTERPOSE_NONE,
		   (unsigned long long)point->length);
	if (uuid_is_null(&point->set))
		answer_add(answer, INTERPOSE_NONE "\n");
	else
		answer_add(answer, "%pUb\n", &point->set);
}

/* points <first id> */
static int message_points(struct interpose *ip, char **args, struct answer *answer)
{
	struct interpose_origin *origin = ip->origin;
	struct interpose_point *point;
	u64 first, next = 0;

	if (parse_number(args[0], &first))
		return -EINVAL;
	if (!answer_has_room(answer, PAGE_HEAD + POINT_LINE))
		return -ENOBUFS;
	page_begin(answer);
	mutex_lock(&origin->mutex);
	list_for_each_entry(point, &origin->points, list) {
		if (point->id < first)
			continue;
		if (!answer_has_room(answer, POINT_LINE)) {
			next = point->id;
			break;
		}
		answer_point(answer, origin, point);
	}
	mutex_unlock(&origin->mutex);
	return page_end(ip, answer, next);
}

/*
 * Writes runs of set bits from *chunk on, until the page or the patience for empty maps is at its end;
 * *chunk is then where the next page starts, or the number of chunks.
 */
static void answer_runs(struct answer *answer, struct interpose_origin *origin,
			struct interpose_map *const maps[], unsigned int nr, u64 *chunk)
{
	unsigned long leaves = max(1UL, CHANGED_LEAVES / max(1U, nr));

	while (*chunk < origin->chunks && leaves && answer_has_room(answer, RUN_LINE)) {
		u64 begin = interpose_maps_next(maps, nr, origin->chunks, *chunk, true, &leaves);
		u64 end;

		*chunk = begin;
		if (begin >= origin->chunks || !leaves)
			return;
		end = interpose_maps_next(maps, nr, origin->chunks, begin, false, &leaves);
		answer_add(answer, "%llu %llu\n",
			   chunk_first_sector(chunk_at(begin), origin->chunk_shift),
			   chunks_sectors(chunk_at(begin), end - begin, origin->chunk_shift,
					  origin->length));
		*chunk = end;
	}
}

struct changed_query {
	u64 since;
	u64 until; /* U64_MAX: now */
	u64 sector;
};

static int parse_changed(const struct interpose *ip, char **args, struct changed_query *query)
{
	int r = parse_point(ip->origin, args, &query->since);

	if (r)
		return r;
	if (!strcmp(args[2], INTERPOSE_NOW))
		query->until = U64_MAX;
	else if (parse_number(args[2], &query->until))
		return -EINVAL;
	else if (query->until == U64_MAX)
		return -ENOENT; /* no id, and not now */
	if (parse_number(args[3], &query->sector))
		return -EINVAL;
	return query->since < query->until ? 0 : -EINVAL;
}

static int answer_changed(struct interpose *ip, const struct changed_query *query,
			  struct interpose_map **maps, struct answer *answer)
{
	struct interpose_origin *origin = ip->origin;
	u64 chunk = query->sector >> origin->chunk_shift;
	unsigned int nr;

	lockdep_assert_held(&origin->mutex);
	if (!interpose_point_find(origin, query->since))
		return -ENOENT;
	if (query->until != U64_MAX && !interpose_point_find(origin, query->until))
		return -ENOENT;
	nr = interpose_points_epochs(origin, query->since, query->until, maps);
	page_begin(answer);
	answer_runs(answer, origin, maps, nr, &chunk);
	if (chunk >= origin->chunks)
		return page_end(ip, answer, 0);
	return page_end(ip, answer, chunk_first_sector(chunk_at(chunk), origin->chunk_shift));
}

/* changed <generation> <since id> <until id>|now <first sector> */
static int message_changed(struct interpose *ip, char **args, struct answer *answer)
{
	struct changed_query query;
	struct interpose_map **maps;
	int r = parse_changed(ip, args, &query);

	if (r)
		return r;
	if (!answer_has_room(answer, PAGE_HEAD + RUN_LINE))
		return -ENOBUFS;
	maps = kmalloc_array(INTERPOSE_POINTS_MAX, sizeof(*maps), GFP_KERNEL);
	if (!maps)
		return -ENOMEM;
	mutex_lock(&ip->origin->mutex);
	r = answer_changed(ip, &query, maps, answer);
	mutex_unlock(&ip->origin->mutex);
	kfree(maps);
	return r;
}

static const struct message messages[] = {
	{ INTERPOSE_MSG_HOOK, 2, 2, message_hook },
	{ INTERPOSE_MSG_UNHOOK, 1, 1, message_unhook },
	{ INTERPOSE_MSG_STORE, 1, 2, message_store },
	{ INTERPOSE_MSG_UNSTORE, 0, 0, message_unstore },
	{ INTERPOSE_MSG_TAKE, 6, MESSAGE_ARGS_MAX, message_take },
	{ INTERPOSE_MSG_DROP, POINT_ARGS, POINT_ARGS + INTERPOSE_SET_MAX - 1, message_drop },
	{ INTERPOSE_MSG_RELEASE, POINT_ARGS, POINT_ARGS + INTERPOSE_SET_MAX - 1, message_release },
	{ INTERPOSE_MSG_CHANGE, CHANGE_ARGS, CHANGE_ARGS + INTERPOSE_SET_MAX - 1, message_change },
	{ INTERPOSE_MSG_POINTS, 1, 1, message_points },
	{ INTERPOSE_MSG_CHANGED, 4, 4, message_changed },
};

static int run_message(struct interpose *ip, unsigned int argc, char **argv, struct answer *answer)
{
	char *args[MESSAGE_ARGS_MAX + 1] = {};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(messages); i++) {
		if (strcmp(argv[0], messages[i].name))
			continue;
		if (argc - 1 < messages[i].args || argc - 1 > messages[i].args_max)
			return -EINVAL;
		memcpy(args, argv + 1, (argc - 1) * sizeof(*args));
		return messages[i].run(ip, args, answer);
	}
	return -EINVAL;
}

/*
 * The device may be suspended, and its resume may wait for us: memory comes without waiting for its writes.
 * Return: 0: done; 1: done, with an answer in @result; negative.
 */
int interpose_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		      unsigned int maxlen)
{
	struct answer answer = { .text = result, .size = maxlen };
	struct interpose *ip = ti->private;
	unsigned int noio;
	int r;

	if (READ_ONCE(ip->origin->gone) && strcmp(argv[0], INTERPOSE_MSG_UNHOOK))
		return -ESTALE;
	noio = memalloc_noio_save();
	r = run_message(ip, argc, argv, &answer);
	memalloc_noio_restore(noio);
	return r;
}
