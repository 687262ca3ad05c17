// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "command.h"

#include "base/error.h"

#include <boost/program_options.hpp>
#include <fmt/format.h>
#include <sstream>

namespace po = boost::program_options;

namespace dmsnap::tool {
namespace {

constexpr const char* object_key = "DEVICE|NAME";

constexpr const Command* all_commands[] = {
    &attach_command,
    &detach_command,
    &create_command,
    &checkpoint_command,
    &rename_command,
    &change_command,
    &remove_command,
    &list_command,
    &changed_command,
    &clone_command,
    &mirror_command,
    &status_command,
    &check_command,
    &recover_command,
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

void add(po::options_description& description, std::span<const Option> options)
{
    for (const Option& option : options) {
        if (option.value != nullptr)
            description.add_options()(option.name, po::value<std::string>()->value_name(option.value), option.text);
        else
            description.add_options()(option.name, po::value<bool>()->zero_tokens(), option.text);
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

std::string synopsis(const Command& command) { return fmt::format("dmsnap {} {}", command.name, command.synopsis); }

Error usage(const Command& command, std::string reason)
{
    return Error(command.name, "read the command line", std::move(reason), fmt::format("dmsnap help {}", command.name))
        .as(Fault::usage);
}

/// po::store() would refuse an option given twice, which LVM's users do, and would not count those without a value.
Arguments collected(const Command& command, const po::parsed_options& parsed)
{
    Arguments::Options options;
    std::vector<std::string> objects;
    for (const auto& option : parsed.options) {
        if (option.string_key == object_key)
            objects.insert(objects.end(), option.value.begin(), option.value.end());
        else
            options[option.string_key].push_back(option.value.empty() ? std::string() : option.value.front());
    }
    return {command, std::move(options), std::move(objects)};
}

} // namespace

std::size_t Arguments::count(const std::string& option) const
{
    const auto found = options_.find(option);
    return found != options_.end() ? found->second.size() : 0;
}

const std::string* Arguments::value(const std::string& option) const
{
    const auto found = options_.find(option);
    return found != options_.end() ? &found->second.back() : nullptr;
}

std::vector<std::string> Arguments::values(const std::string& option) const
{
    const auto found = options_.find(option);
    return found != options_.end() ? found->second : std::vector<std::string>();
}

const std::string& Arguments::require(const std::string& option) const
{
    if (const std::string* text = value(option))
        return *text;
    throw usage(command_, fmt::format("--{} is missing: {}", option, synopsis(command_)));
}

void Arguments::require_objects(std::size_t at_least, std::size_t at_most) const
{
    if (objects_.size() < at_least)
        throw usage(command_, "an argument is missing: " + synopsis(command_));
    if (objects_.size() > at_most)
        throw usage(command_, fmt::format("\"{}\" is an argument too many: {}", objects_[at_most], synopsis(command_)));
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
    text << "dmsnap " << command.name << " - " << command.summary << "\n\n  " << synopsis(command) << "\n"
         << options_of(command);
    return text.str();
}

std::string help_text()
{
    std::string text = "dmsnap - snapshots and changed blocks of live block devices\n\n";
    for (const Command* command : all_commands)
        if (!command->hidden)
            text += fmt::format("  {:<11} {}\n", command->name, command->summary);
    return text + "\ndmsnap help VERB, or the manual page dmsnap-VERB(8), says more.\n";
}

Arguments parse(const Command& command, const std::vector<std::string>& words)
{
    po::options_description visible = options_of(command);
    po::options_description all;
    all.add(visible).add_options()(object_key, po::value<std::vector<std::string>>());
    po::positional_options_description positional;
    positional.add(object_key, -1);
    try {
        return collected(command, po::command_line_parser(words).options(all).positional(positional).run());
    } catch (const po::error& error) {
        throw usage(command, error.what());
    }
}

} // namespace dmsnap::tool
