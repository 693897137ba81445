"""What mappings of the configuration have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from vigil.config.units import SecretFile, Text, secret_or_file


class Section(BaseModel):
    """One mapping of the configuration: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class WithPassword(Section):
    """A section with a login; after validation `password` holds the secret wherever it came from."""

    username: Text | None = Field(default=None, description="User name.")
    password_file: SecretFile | None = Field(
        default=None, description="File that holds the password, instead of `password`; read at load time."
    )
    password: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="Password; better `${VARIABLE}` or `password_file` than the secret itself.",
    )

    @field_validator("password", mode="before")
    @classmethod
    def _password_or_file(cls, value: Any, info: ValidationInfo) -> Any:
        return secret_or_file(value, info)
