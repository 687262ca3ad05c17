// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "point_words.h"
#include "taking.h"

#include <limits>

namespace dmsnap::tool {
namespace {

constexpr Option create_options[] = {
    {"name,n", "NAME", "the name of the snapshot"},
    {"store", "STORE", "the block device that takes the old data, whose content is lost; or a directory: see --size"},
    {"size,L", "SIZE", "of the file that takes it, on the device itself, where no block device is named"},
    {"extents,l", "PERCENT%ORIGIN", "the same as a part of the device; 10%ORIGIN unless given"},
    {"chunksize,c", "SIZE", "as in dmsnap attach, if the device is to be attached"},
    {"data", "FILE|-", "up to 256 bytes that the point carries"},
    {"addtag", "TAG", "a word to find it by; may be repeated"},
    {"deadline", "SECONDS", "how long freezing and waiting may take, 10 unless given"},
    {"via", "METHOD", "as in dmsnap attach, if the device is to be attached"},
};

constexpr Option checkpoint_options[] = {
    {"name,n", "NAME", "the name of the checkpoint"},
    {"chunksize,c", "SIZE", "as in dmsnap attach, if the device is to be attached"},
    {"data", "FILE|-", "up to 256 bytes that the point carries"},
    {"addtag", "TAG", "a word to find it by; may be repeated"},
    {"deadline", "SECONDS", "how long freezing and waiting may take, 10 unless given"},
    {"via", "METHOD", "as in dmsnap attach, if the device is to be attached"},
};

PointWish wish_of(const Arguments& arguments, PointKind kind)
{
    PointWish wish(kind, PointName(arguments.require("name")));
    wish.data = data_of(arguments).value_or(Blob());
    for (const Tag& tag : tags_of(arguments, "addtag"))
        wish.tags.add(tag);
    return wish;
}

int run_take(const Arguments& arguments, PointKind kind)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    TakeWords words = take_words(arguments, wish_of(arguments, kind));
    words.devices = arguments.objects();
    const auto first = first_look(arguments, words);
    Change change(arguments);
    take(change, words, first);
    return exit_done;
}

int run_create(const Arguments& arguments) { return run_take(arguments, PointKind::snapshot); }

int run_checkpoint(const Arguments& arguments) { return run_take(arguments, PointKind::checkpoint); }

} // namespace

const Command create_command = {
    .name = "create",
    .synopsis =
        "-n|--name NAME [--store STORE] [-L|--size SIZE | -l|--extents PERCENT%ORIGIN] "
        "[-c|--chunksize SIZE] [--data FILE|-] [--addtag TAG] [--via auto|table|hook] [--deadline SECONDS] [OPTIONS] DEVICE...",
    .summary = "take a snapshot of live devices, of several at one instant",
    .options = create_options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_create,
};

const Command checkpoint_command = {
    .name = "checkpoint",
    .synopsis = "-n|--name NAME [-c|--chunksize SIZE] [--data FILE|-] [--addtag TAG] [--via auto|table|hook] "
                "[--deadline SECONDS] [OPTIONS] DEVICE...",
    .summary = "take a point that keeps no data, for changed, of several devices at one instant",
    .options = checkpoint_options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_checkpoint,
};

} // namespace dmsnap::tool
