//! Tensors by name: their shapes and types checked, small ones copied.

use std::sync::Arc;

use super::{ExpertMatrices, Loader, Matrix};
use crate::LoadError;
use crate::gguf::{TensorData, TensorInfo, TensorType};
use crate::kernels::{MatrixRef, Reading};

impl<'a> Loader<'a> {
    pub(super) fn info(&self, name: &str) -> Result<&'a TensorInfo, LoadError> {
        self.claimed.borrow_mut().insert(name.to_owned());
        self.file
            .tensor(name)
            .ok_or_else(|| LoadError::TensorMissing {
                path: self.file.path().into(),
                name: name.to_owned(),
            })
    }

    /// Checks shape and type.
    pub(super) fn checked(
        &self,
        name: &str,
        expected: &[usize],
    ) -> Result<(TensorType, TensorData), LoadError> {
        let info = self.info(name)?;
        if info.shape != expected {
            return Err(LoadError::TensorShape {
                path: self.file.path().into(),
                name: name.to_owned(),
                found: info.shape.clone(),
                expected: expected.to_vec(),
            });
        }
        let tensor_type = info.tensor_type().ok_or_else(|| LoadError::TensorType {
            path: self.file.path().into(),
            name: name.to_owned(),
            found: info.type_name(),
        })?;
        Ok((tensor_type, self.file.data(info)))
    }

    pub(super) fn matrix(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, LoadError> {
        let (tensor_type, data) = self.checked(name, &[rows, columns])?;
        Ok(Matrix {
            tensor_type,
            rows,
            columns,
            data,
            first_row: 0,
            repacked: None,
            readings: Arc::clone(&self.readings),
        })
    }

    pub(super) fn optional_matrix(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Option<Matrix>, LoadError> {
        self.file
            .tensor(name)
            .map(|_| self.matrix(name, rows, columns))
            .transpose()
    }

    pub(super) fn expert_matrices(
        &self,
        name: &str,
        n: usize,
        rows: usize,
        columns: usize,
    ) -> Result<ExpertMatrices, LoadError> {
        let (tensor_type, data) = self.checked(name, &[n, rows, columns])?;
        Ok(ExpertMatrices {
            all: Matrix {
                tensor_type,
                rows: n * rows,
                columns,
                data,
                first_row: 0,
                repacked: None,
                readings: Arc::clone(&self.readings),
            },
            rows,
        })
    }

    /// Norms and scales, small enough to be copied as f32.
    pub(super) fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let (tensor_type, data) = self.checked(name, &[len])?;
        let mut values = vec![0.0; len];
        let view = MatrixRef {
            tensor_type,
            rows: 1,
            columns: len,
            bytes: &data,
            panels: None,
            reading: Reading::ROWS,
        };
        crate::kernels::dequantize(view, &mut values);
        Ok(values)
    }

    pub(super) fn optional_vector(
        &self,
        name: &str,
        len: usize,
    ) -> Result<Option<Vec<f32>>, LoadError> {
        self.file
            .tensor(name)
            .map(|_| self.vector(name, len))
            .transpose()
    }
}
