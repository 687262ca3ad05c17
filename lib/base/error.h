// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace dmsnap {

/// What an Error means for the caller, beyond its words; the tool turns it into its exit code.
enum class Fault {
    failed,       ///< the operation failed and changed nothing
    usage,        ///< the request itself makes no sense
    cannot_start, ///< no module, no privilege, another interface: nothing was tried
    not_undone,   ///< the operation failed and left something behind
    in_use,       ///< the operation failed for what may pass by itself in a moment, and changed nothing
    chain_broken, ///< a point that the present chain of changes does not have
};

/// The one exception of the library: who, what, why, and what to do next.
///
///     throw Error(device, "load table", EBUSY, "dmsetup ls --tree shows who holds it");
class Error : public std::exception {
public:
    /// `reason` is a sentence without a full stop; `next_step` may be empty where only the caller can know one.
    Error(std::string subject, std::string operation, std::string reason, std::string next_step = {});
    /// The reason is the text of an errno value, which number() keeps.
    Error(std::string subject, std::string operation, int error_number, std::string next_step = {});

    /// The same error with another meaning: `throw Error(...).as(Fault::usage)`.
    Error as(Fault fault) const;

    const std::string& subject() const noexcept { return subject_; }
    const std::string& operation() const noexcept { return operation_; }
    const std::string& reason() const noexcept { return reason_; }
    const std::string& next_step() const noexcept { return next_step_; }
    /// The errno value behind it, 0 if there is none.
    int number() const noexcept { return number_; }
    Fault fault() const noexcept { return fault_; }

    /// "SUBJECT: cannot OPERATION: REASON"
    const char* what() const noexcept override { return what_.c_str(); }

private:
    std::string subject_;
    std::string operation_;
    std::string reason_;
    std::string next_step_;
    std::string what_;
    int number_ = 0;
    Fault fault_ = Fault::failed;
};

/// The text of an errno value, without locale: "Device or resource busy".
std::string errno_text(int number);

} // namespace dmsnap
