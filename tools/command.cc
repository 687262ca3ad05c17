// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "command.h"

#include "base/error.h"

#include <fmt/format.h>
#include <sstream>

namespace po = boost::program_options;

namespace dmsnap::tool {
namespace {

constexpr const Command* all_commands[] = {
    &attach_command,
    &detach_command,
    &create_command,
    &checkpoint_command,
    &remove_command,
    &list_command,
    &changed_command,
    &status_command,
    &help_command,
    &version_command,
    &udev_command,
};

constexpr Option common_options[] = {
    {"verbose,v", nullptr, "say more on standard error; may be repeated"},
    {"quiet,q", nullptr, "say less: errors only"},
    {"help,h", nullptr, "print this"},
    {"version", nullptr, "print the version"},
};

constexpr Option mutating_options[] = {
    {"dry-run", nullptr, "print the steps that would follow, and change nothing"},
    {"test,t", nullptr, "the same"},
    {"yes,y", nullptr, "answer every question with yes"},
};

constexpr Option reporting_options[] = {
    {"reportformat", "basic|json", "for people, or for programs"},
};

/// May be repeated, as LVM's can.
auto* flag() { return po::value<std::vector<bool>>()->zero_tokens()->composing(); }

void add(po::options_description& description, std::span<const Option> options)
{
    for (const Option& option : options) {
        if (option.value != nullptr)
            description.add_options()(option.name, po::value<std::string>()->value_name(option.value), option.text);
        else
            description.add_options()(option.name, flag(), option.text);
    }
}

po::options_description options_of(const Command& command)
{
    po::options_description description;
    add(description, command.options);
    if (command.group == Group::mutates)
        add(description, mutating_options);
    if (command.group == Group::reports)
        add(description, reporting_options);
    add(description, common_options);
    return description;
}

Error usage(const Command& command, std::string reason)
{
    return Error(command.name, "read the command line", std::move(reason), fmt::format("dmsnap help {}", command.name))
        .as(Fault::usage);
}

} // namespace

std::size_t Arguments::count(const std::string& option) const
{
    const auto& value = options_[option];
    return value.empty() ? 0 : value.as<std::vector<bool>>().size();
}

const std::string* Arguments::value(const std::string& option) const
{
    const auto& value = options_[option];
    return value.empty() ? nullptr : &value.as<std::string>();
}

const std::string& Arguments::require(const std::string& option) const
{
    if (const std::string* text = value(option))
        return *text;
    throw Error("command line", "do without it", "--" + option + " is missing").as(Fault::usage);
}

void Arguments::require_objects(std::size_t at_least, std::size_t at_most) const
{
    if (objects_.size() < at_least)
        throw Error("command line", "go on", "DEVICE or NAME is missing").as(Fault::usage);
    if (objects_.size() > at_most)
        throw Error("command line", "go on",
            at_most == 1 ? "one device for now" : fmt::format("more than {} arguments", at_most))
            .as(Fault::usage);
}

std::span<const Command* const> commands() { return all_commands; }

const Command* find_command(const std::string& name)
{
    for (const Command* command : all_commands)
        if (command->name == name)
            return command;
    return nullptr;
}

std::string help_text(const Command& command)
{
    std::ostringstream text;
    text << "dmsnap " << command.name << " - " << command.summary << "\n\n  dmsnap " << command.name << ' '
         << command.synopsis << "\n"
         << options_of(command);
    return text.str();
}

std::string help_text()
{
    std::string text = "dmsnap - snapshots and changed blocks of live device-mapper devices\n\n";
    for (const Command* command : all_commands)
        if (!command->hidden)
            text += fmt::format("  {:<11} {}\n", command->name, command->summary);
    return text + "\ndmsnap help VERB, or the manual page dmsnap-VERB(8), says more.\n";
}

Arguments parse(const Command& command, const std::vector<std::string>& words)
{
    po::options_description visible = options_of(command);
    po::options_description all;
    all.add(visible).add_options()("object", po::value<std::vector<std::string>>());
    po::positional_options_description positional;
    positional.add("object", -1);
    po::variables_map options;
    try {
        po::store(po::command_line_parser(words).options(all).positional(positional).run(), options);
    } catch (const po::error& error) {
        throw usage(command, error.what());
    }
    std::vector<std::string> objects;
    if (const auto& value = options["object"]; !value.empty())
        objects = value.as<std::vector<std::string>>();
    return {std::move(options), std::move(objects)};
}

} // namespace dmsnap::tool
