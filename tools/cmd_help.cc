// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"
#include "base/text.h"
#include "dm-interpose.h"
#include "session.h"
#include "world/file.h"

#include <fmt/format.h>

namespace dmsnap::tool {
namespace {

int run_help(const Arguments& arguments)
{
    arguments.require_objects(0, 1);
    if (arguments.objects().empty()) {
        print(help_text());
        return exit_done;
    }
    const std::string& verb = arguments.objects().front();
    const Command* command = find_command(verb);
    if (command == nullptr) {
        exit_code_of(Error("\"" + verb + "\"", "explain it", "there is no such verb", "dmsnap help"));
        return exit_no_such_verb;
    }
    print(help_text(*command));
    return exit_done;
}

int run_version(const Arguments&)
{
    print(fmt::format("dmsnap {}, interface {}\n", DMSNAP_VERSION, INTERPOSE_INTERFACE));
    // Asking device-mapper would load it.
    if (const std::string module = first_line("/sys/module/dm_interpose/version"); !module.empty())
        print(fmt::format("module dm-interpose {}\n", printable(module)));
    return exit_done;
}

} // namespace

const Command help_command = {
    .name = "help",
    .synopsis = "[VERB]",
    .summary = "print the synopsis of every verb, or the options of one",
    .options = {},
    .group = Group::none,
    .hidden = false,
    .run = run_help,
};

const Command version_command = {
    .name = "version",
    .synopsis = "",
    .summary = "print the version",
    .options = {},
    .group = Group::none,
    .hidden = false,
    .run = run_version,
};

} // namespace dmsnap::tool
