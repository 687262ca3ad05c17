// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Programs as a user runs them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dmsnap::test {

using Arguments = std::vector<std::string>;

struct Result {
    int status = 0; ///< of exit(), or 128 + signal
    std::string out;
    std::string err;
};

/// Runs a program to its end, whatever that is; what it is fed ends with `input`.
Result run(const Arguments& command, std::string_view input = {});
/// What it prints; throws with all it said unless it exits with 0.
std::string must(const Arguments& command, std::string_view input = {});
/// The first line of that.
std::string first_line(const Arguments& command);
/// `run`, but for cleaning up: says nothing and never throws.
void try_to(const Arguments& command) noexcept;

/// The same with "dmsnap" in front.
Result run_tool(const Arguments& arguments, std::string_view input = {});
std::string tool(const Arguments& arguments, std::string_view input = {});
/// One field of a point, as `dmsnap list` reports it to programs.
std::string list_field(const std::string& point, const std::string& field);

/// A program that runs meanwhile; killed with this object. Its output goes to a file.
class Background {
public:
    explicit Background(const Arguments& command);
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    int pid() const { return pid_; }
    bool running();
    /// Its exit status, waiting for it at most so long; throws if it takes longer.
    int wait(int seconds);
    std::string output() const;

private:
    void reap(bool block);

    Arguments command_;
    std::string log_;
    int pid_ = -1;
    int status_ = -1;
};

} // namespace dmsnap::test
