from mlflow_otel.v1 import assessment_pb2 as _assessment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExportRequest(_message.Message):
    __slots__ = ("assessments",)
    ASSESSMENTS_FIELD_NUMBER: _ClassVar[int]
    assessments: _containers.RepeatedCompositeFieldContainer[_assessment_pb2.Assessment]
    def __init__(self, assessments: _Optional[_Iterable[_Union[_assessment_pb2.Assessment, _Mapping]]] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("partial_success",)
    PARTIAL_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    partial_success: ExportPartialSuccess
    def __init__(self, partial_success: _Optional[_Union[ExportPartialSuccess, _Mapping]] = ...) -> None: ...

class ExportPartialSuccess(_message.Message):
    __slots__ = ("rejected_assessments", "error_message")
    REJECTED_ASSESSMENTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    rejected_assessments: int
    error_message: str
    def __init__(self, rejected_assessments: _Optional[int] = ..., error_message: _Optional[str] = ...) -> None: ...
