// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

namespace dmsnap::tool {

/// Exit codes are LVM's, 6 and 7 our own.
enum Exit : int {
    exit_done = 0,
    exit_no_such_verb = 2,
    exit_usage = 3,
    exit_cannot_start = 4,
    exit_failed = 5,
    exit_not_undone = 6,
    exit_chain_broken = 7,
};

struct Command;

/// A parsed command line.
class Arguments {
public:
    /// Each option's values in the order they were given; of one without a value, an empty text each time.
    using Options = std::map<std::string, std::vector<std::string>>;

    Arguments(const Command& command, Options options, std::vector<std::string> objects)
        : command_(command), options_(std::move(options)), objects_(std::move(objects))
    {
    }

    /// DEVICE... or NAME...
    const std::vector<std::string>& objects() const { return objects_; }
    /// How often an option was given; 0 for one the verb does not have.
    std::size_t count(const std::string& option) const;
    bool has(const std::string& option) const { return count(option) > 0; }
    /// The value of an option; of one given twice the last, as LVM has it.  nullptr if it was not given.
    const std::string* value(const std::string& option) const;
    /// The same; throws Error (Fault::usage) if it was not given.
    const std::string& require(const std::string& option) const;
    /// All values of an option, in the order they were given.
    std::vector<std::string> values(const std::string& option) const;
    /// Throws Error (Fault::usage) unless there are as many objects.
    void require_objects(std::size_t at_least, std::size_t at_most) const;

private:
    const Command& command_;
    Options options_;
    std::vector<std::string> objects_;
};

/// What a verb takes besides the options every verb has.
enum class Group : unsigned {
    none = 0,
    mutates = 1, ///< --dry-run, --yes
    reports = 2, ///< --reportformat
};

struct Option {
    const char* name;  ///< "chunksize,c", as Boost.Program_options has it
    const char* value; ///< what stands for the value in the help; nullptr: it has none
    const char* text;
};

struct Command {
    const char* name;
    const char* synopsis; ///< without the common options
    const char* summary;
    std::span<const Option> options;
    Group group;
    bool hidden;
    int (*run)(const Arguments&);
};

extern const Command attach_command;
extern const Command detach_command;
extern const Command create_command;
extern const Command checkpoint_command;
extern const Command rename_command;
extern const Command change_command;
extern const Command remove_command;
extern const Command list_command;
extern const Command changed_command;
extern const Command clone_command;
extern const Command mirror_command;
extern const Command status_command;
extern const Command check_command;
extern const Command recover_command;
extern const Command help_command;
extern const Command version_command;
extern const Command udev_command;

/// Every verb, in the order of the help.
std::span<const Command* const> commands();
/// nullptr if there is none.
const Command* find_command(const std::string& name);

/// Synopsis and options of one verb.
std::string help_text(const Command& command);
/// One line a verb.
std::string help_text();

/// Throws Error (Fault::usage).
Arguments parse(const Command& command, const std::vector<std::string>& words);

} // namespace dmsnap::tool
